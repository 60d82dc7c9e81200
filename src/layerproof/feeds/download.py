"""Downloading feeds: conditional, resumable, bounded.

1. A file that did not change since the last import is not downloaded again (ETag, RFC 9110 section
   13.1.2); what it said then counts as of now.
2. What was downloaded in part is kept and gone on with, if the server still has the same file
   (RFC 9110 section 14.2, `If-Range`).
3. Plain HTTP only if the mirror's own URL says so; redirects stay within HTTPS.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from layerproof import __version__
from layerproof.errors import AdvisoryError

MAX_BYTES = 8 << 30  # of one file
_TRIES = 4
_TIMEOUT = httpx.Timeout(60.0, connect=20.0)
_CHUNK = 1 << 18

Progress = Callable[[int, int | None], None]  # bytes so far, bytes in all


@dataclass(frozen=True, slots=True)
class Downloaded:
    """`path` is None for a file that did not change."""

    path: Path | None
    etag: str


def mirrored(url: str, mirror: str) -> str:
    """Where a file is fetched: `MIRROR/HOST/PATH` of its own URL, if there is a mirror."""
    if not mirror:
        return url
    parts = urlsplit(url)
    return f"{mirror}/{parts.netloc}{parts.path}"


class Downloads:
    """Files below one folder, which holds what was not finished."""

    def __init__(self, folder: Path, mirror: str = "") -> None:
        self._folder = folder
        self._mirror = mirror
        self._client = httpx.Client(
            follow_redirects=True,
            timeout=_TIMEOUT,
            max_redirects=5,
            headers={"User-Agent": f"layerproof/{__version__}"},
        )

    def close(self) -> None:
        """Give connections back."""
        self._client.close()

    def fetch(self, url: str, etag: str, progress: Progress) -> Downloaded:
        """The file at `url`, unless it still has this ETag. Raises AdvisoryError."""
        where = mirrored(url, self._mirror)
        with _failing(where):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            part = self._folder / sha256(where.encode()).hexdigest()[:32]
            for attempt in range(_TRIES):
                try:
                    return self._once(where, etag, part, progress)
                except (httpx.TransportError, _AgainError):
                    if attempt == _TRIES - 1:
                        raise
        raise AssertionError("unreachable")

    def _once(self, url: str, etag: str, part: Path, progress: Progress) -> Downloaded:
        note = part.with_suffix(".json")
        begun, had = _begun(part, note)
        headers = {"Accept-Encoding": "identity"}
        if etag:
            headers["If-None-Match"] = etag
        if begun and had:
            headers |= {"Range": f"bytes={begun}-", "If-Range": had}
        with self._client.stream("GET", url, headers=headers) as response:
            if response.url.scheme != "https" and not url.startswith("http://"):
                raise AdvisoryError(
                    "the server leads to an address without encryption",
                    where=url,
                    remedy="name a mirror with LAYERPROOF_ADVISORY_MIRROR",
                )
            if response.status_code == 304:
                return Downloaded(None, etag)
            if response.status_code == 416 or response.status_code >= 500:
                part.unlink(missing_ok=True)
                raise _AgainError(f"the server answers {response.status_code}")
            response.raise_for_status()
            begun = begun if response.status_code == 206 else 0
            new = response.headers.get("ETag", "")
            note.write_text(json.dumps(new))
            self._write(response, part, begun, progress)
        return Downloaded(part, new)

    def _write(self, response: httpx.Response, part: Path, begun: int, progress: Progress) -> None:
        stated = response.headers.get("Content-Length", "")
        total = begun + int(stated) if stated.isdigit() else None
        done = begun
        with part.open("ab" if begun else "wb") as file:
            for piece in response.iter_raw(_CHUNK):
                done += len(piece)
                if done > MAX_BYTES:
                    raise AdvisoryError(f"larger than {MAX_BYTES} bytes", where=str(response.url))
                file.write(piece)
                progress(done, total)
        if total is not None and done < total:
            raise _AgainError("the connection ended early")


class _AgainError(Exception):
    """Worth another try."""


def _begun(part: Path, note: Path) -> tuple[int, str]:
    try:
        return part.stat().st_size, str(json.loads(note.read_text()))
    except (OSError, ValueError):
        return 0, ""


@contextmanager
def _failing(url: str) -> Iterator[None]:
    try:
        yield
    except (httpx.HTTPError, httpx.InvalidURL, _AgainError) as error:
        raise AdvisoryError(
            f"cannot be downloaded: {error or type(error).__name__}",
            where=url,
            remedy="try again (it goes on where it stopped), name a mirror with "
            "LAYERPROOF_ADVISORY_MIRROR, or carry the file here: layerproof advisories import FILE",
        ) from error
    except OSError as error:
        raise AdvisoryError(
            f"the download cannot be kept: {error.strerror}",
            where=url,
            remedy="check the space beside the advisory file (LAYERPROOF_ADVISORIES)",
        ) from error
