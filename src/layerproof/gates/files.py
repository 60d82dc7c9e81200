"""Files of the machine that a gate's installation changes: kept, written whole, or left alone."""

import os
import tempfile
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from layerproof.errors import UsageError

_MOST_BYTES = 1 << 20


def read_text(file: Path) -> str | None:
    """What stands in it; None if it is not there. Raises UsageError."""
    try:
        with file.open("rb") as stream:
            data = stream.read(_MOST_BYTES + 1)
        if len(data) > _MOST_BYTES:
            raise UsageError("too large", where=str(file), remedy="is that the right file?")
        return data.decode("utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"cannot be read: {error}", where=str(file), remedy="run as root"
        ) from error


def keep_copy(file: Path, now: datetime) -> Path | None:
    """A copy beside it, which later runs leave alone; None where there is no file."""
    text = read_text(file)
    if text is None:
        return None
    copy = file.with_name(f"{file.name}.before-layerproof-{now:%Y%m%dT%H%M%SZ}")
    write_text(copy, text, like=file)
    return copy


def write_text(file: Path, text: str, *, like: Path | None = None, mode: int = 0o644) -> None:
    """The whole text or what was there before; owner and mode stay. Raises UsageError."""
    model = like or file
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as out:
                with suppress(FileNotFoundError):
                    found = model.stat()
                    mode = found.st_mode & 0o777
                    os.fchown(out.fileno(), found.st_uid, found.st_gid)
                os.fchmod(out.fileno(), mode)
                out.write(text)
                out.flush()
                os.fsync(out.fileno())
            os.replace(name, file)
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(name)
            raise
    except OSError as error:
        raise UsageError(
            f"cannot be written: {error.strerror or error}", where=str(file), remedy="run as root"
        ) from error


def remove(file: Path) -> bool:
    """Whether there was one. Raises UsageError."""
    try:
        file.unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise UsageError(
            f"cannot be removed: {error.strerror}", where=str(file), remedy="run as root"
        ) from error
    return True
