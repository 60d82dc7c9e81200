"""Asks a service over HTTP.

1. Tokens go to the service's own address only: redirects are an error.
2. What it answers is bounded: bytes, pages, depth.
3. No text of it can steer a terminal: what cannot be shown is written out.
4. A document without what it should have is an error of the service's, not a defect of ours.
"""

import json
import time
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx

from layerproof import __version__
from layerproof.errors import (
    ImageNotFoundError,
    ProtocolError,
    ServiceError,
    UnreachableError,
    UsageError,
)

_SECONDS = 60.0
_MOST_ANSWER = 64 << 20
_MOST_PAGES = 10_000
_WAIT_SECONDS = 600.0
_LOOK_SECONDS = 0.5

Document = dict[str, Any]


class _Answer(dict[str, Any]):
    """A document of the service's; its texts can be shown (rules 3 and 4 of this module)."""

    def __init__(self, found: Mapping[str, Any], where: str) -> None:
        super().__init__((_shown(key), _shown(value)) for key, value in found.items())
        self._where = where

    def __missing__(self, key: str) -> Any:
        raise _no_service(self._where, f"a document without {key!r}")


def _shown(value: Any) -> Any:
    if isinstance(value, str):
        return value if value.isprintable() else "".join(map(_visible, value))
    return [_shown(item) for item in value] if isinstance(value, list) else value


def _visible(char: str) -> str:
    return char if char.isprintable() or char in "\n\t" else ascii(char)[1:-1]


def _no_service(where: str, what: str) -> ProtocolError:
    return ProtocolError(
        f"the service answered with {what}",
        where=where,
        remedy="is this the URL of a Layerproof service of the same version?",
    )


class Client:
    """One service. Raises ServiceError, UnreachableError, ImageNotFoundError, ProtocolError."""

    def __init__(self, url: str, token: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError(
                f"{url[:200]!r} is not the URL of a service",
                where="--server",
                remedy="for example: https://layerproof.example",
            )
        if not token:
            raise UsageError(
                "the service wants a token",
                where="LAYERPROOF_TOKEN",
                remedy="set it; an administrator makes one: layerproof token create",
            )
        self._where = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        self._http = httpx.Client(
            base_url=f"{url.rstrip('/')}/api/v1",
            headers={"Authorization": f"Bearer {token}", "User-Agent": f"layerproof/{__version__}"},
            timeout=_SECONDS,
            follow_redirects=False,
        )

    def get(self, path: str, /, **query: object) -> Document:
        """One document."""
        given = {key: str(value) for key, value in query.items() if value not in (None, "")}
        return self._ask("GET", path, params=given)

    def post(self, path: str, body: Mapping[str, object]) -> Document:
        """Ask for a change, or a decision."""
        return self._ask("POST", path, json=dict(body))

    def put(self, path: str, body: Mapping[str, object]) -> Document:
        """Replace something."""
        return self._ask("PUT", path, json=dict(body))

    def delete(self, path: str) -> Document:
        """End something."""
        return self._ask("DELETE", path)

    def items(self, path: str, /, *, most: int = 1 << 30, **query: object) -> list[Document]:
        """All of a list, or the first so many."""
        found: list[Document] = []
        for item in self._items(path, query):
            found.append(item)
            if len(found) >= most:
                break
        return found

    def _items(self, path: str, query: Mapping[str, object]) -> Iterator[Document]:
        after: object = ""
        for _ in range(_MOST_PAGES):
            page = self.get(path, **query, after=after)
            items, after = page["items"], page["after"]
            if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
                raise _no_service(self._where, "a page without documents")
            yield from items
            if after is None:
                return
            if not items:
                break
        raise _no_service(self._where, "a list without end")

    def decide(self, question: Mapping[str, object]) -> Document:
        """A decision; an image that the service does not know is indexed by it first."""
        try:
            return self.post("/decisions", question)
        except ImageNotFoundError:
            image = str(question["image"])
            if image.startswith("sha256:"):
                raise
        self.index(image)
        return self.post("/decisions", question)

    def index(self, reference: str) -> None:
        """Have an image indexed, and wait for it."""
        began = time.monotonic()
        self.post("/images", {"reference": reference})
        while True:
            job = self._job(reference)
            if job is None or job["state"] == "done":
                return
            if job["state"] in ("failed", "cancelled") or job["error"]:
                raise self._failed(reference, job)
            if time.monotonic() - began > _WAIT_SECONDS:
                raise ServiceError(
                    "the service has not indexed the image yet",
                    where=reference,
                    remedy=f"see {self._where}/api/v1/jobs/{job['id']}, or ask again later",
                )
            time.sleep(_LOOK_SECONDS)

    def _job(self, reference: str) -> Document | None:
        """The newest job about it."""
        key = f"index {reference}"
        return next((job for job in self.items("/jobs", most=500) if job["key"] == key), None)

    def _failed(self, reference: str, job: Document) -> ServiceError:
        error = job["error"] if isinstance(job["error"], dict) else {}
        return ServiceError(
            f"the service could not index it: {error.get('message', job['state'])}",
            where=str(error.get("where") or reference),
            remedy=str(error.get("remedy", "")),
        )

    def close(self) -> None:
        """Close connections."""
        self._http.close()

    def _ask(self, method: str, path: str, **more: Any) -> Document:
        try:
            with self._http.stream(method, path, **more) as answer:
                data = bytearray()
                for part in answer.iter_bytes():
                    data += part
                    if len(data) > _MOST_ANSWER:
                        raise ServiceError("the answer is too large", where=self._where)
        except httpx.HTTPError as error:
            raise UnreachableError(
                f"the service does not answer: {str(error) or type(error).__name__}",
                where=self._where,
                remedy="check the URL and the network, and that the service runs",
            ) from error
        try:
            document = json.loads(data, object_hook=lambda found: _Answer(found, self._where))
        except (ValueError, RecursionError):
            document = None
        if answer.status_code >= 400 or not isinstance(document, dict):
            raise self._refused(answer.status_code, document)
        return document

    def _refused(self, status: int, document: object) -> Exception:
        said = document if isinstance(document, dict) else {}
        message = str(said.get("detail") or f"the service answered with status {status}")
        where = str(said.get("where") or self._where)
        remedy = str(said.get("remedy") or "is this the URL of a Layerproof service?")
        problems = said.get("problems")
        if isinstance(problems, list) and problems:
            message += ": " + "; ".join(map(str, problems[:5]))
        if status == 404 and said.get("code") == "not-found":
            return ImageNotFoundError(message, where=where, remedy=remedy)
        return ServiceError(message, status=status, where=where, remedy=remedy)
