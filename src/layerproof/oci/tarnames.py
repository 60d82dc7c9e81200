"""Names in a layer tar: made clean and relative, whiteouts told from entries.

1. Names arrive as `x`, `./x`, `/x`, with `..`, in any bytes; they become relative clean bytes.
   `..` is taken lexically and stops at the root, as containerd takes it.
2. Last parts that start with `.wh.` are whiteouts (OCI image-spec, layer.md "Whiteouts"), whatever
   the type of the entry.
3. Names that start with `.wh..wh.` are AUFS metadata, but for `.wh..wh..opq`. Runtimes do not
   agree: containerd and umoci unpack them and what lies in them, podman does for some spellings. So
   they are entries like any other, under the names that they have; nothing hides there.
"""

from layerproof.errors import TarError
from layerproof.model.entry import DIRECTORY, OPAQUE, WHITEOUT

_WHITEOUT = b".wh."
_METADATA = b".wh..wh."
_OPAQUE = b".wh..wh..opq"


def clean_path(name: bytes) -> bytes:
    """Relative, without empty, `.` and `..` parts; `..` never leaves the root, as in a chroot."""
    parts: list[bytes] = []
    for part in name.split(b"/"):
        if part == b"..":
            if parts:
                parts.pop()
        elif part and part != b".":
            parts.append(part)
    return b"/".join(parts)


def escapes(name: bytes) -> bool:
    """Whether `..` parts of the name climb above where it starts."""
    depth = 0
    for part in name.split(b"/"):
        if part == b"..":
            depth -= 1
            if depth < 0:
                return True
        elif part and part != b".":
            depth += 1
    return False


def is_metadata(path: bytes) -> bool:
    """Whether a clean path is AUFS metadata, or in it: only names at the root are."""
    return path.startswith(_METADATA) and path != _OPAQUE


def classify(path: bytes, kind: int, offset: int) -> tuple[bytes, int]:
    """What an entry with this clean path stands for: path and kind, whiteouts recognised.

    Raises TarError for names that runtimes refuse.
    """
    folder, _, last = path.rpartition(b"/")
    if not last.startswith(_WHITEOUT) or (not folder and is_metadata(path)):
        if not path and kind != DIRECTORY:
            raise TarError("the root of the image is not a folder", offset=offset)
        return path, kind
    if last == _OPAQUE:
        return folder, OPAQUE
    hidden = last[len(_WHITEOUT) :]
    if hidden in (b"", b".", b".."):
        raise TarError(f"whiteout of nothing: {last!r}", offset=offset)
    return (folder + b"/" + hidden if folder else hidden), WHITEOUT
