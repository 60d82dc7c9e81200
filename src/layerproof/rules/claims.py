"""What an image says about its base: claims of whoever built it, not facts.

1. Labels of the config and annotations of the manifest (OCI image-spec, annotations.md):
   `org.opencontainers.image.base.digest`, "digest of the image this image is based on", which
   may be that of an image index; `org.opencontainers.image.base.name`, its reference.
2. History: an image built on another starts with that one's whole history (config.md "history").

An empty text claims nothing: that is how a build takes back a label that it inherited.
"""

from hashlib import sha256
from typing import NamedTuple

from layerproof.errors import ManifestError
from layerproof.model.digest import Digest
from layerproof.model.image import History, Image

BASE_DIGEST = "org.opencontainers.image.base.digest"
BASE_NAME = "org.opencontainers.image.base.name"

# Reproducible builds write these instead of a time; entries with them tell images apart no more.
_NO_TIME = ("", "0001-01-01", "1970-01-01", "1980-01-01")


class Claim(NamedTuple):
    """One claim. `key` is how `ImageFacts.claimed` names it."""

    kind: str  # "digest", "name" or "history"
    value: str  # the text as claimed; for history, a digest over the whole of it
    origins: tuple[str, ...]  # where it stands: "label", "annotation", "history"
    malformed: bool = False  # a digest claim that is no digest; nothing can be looked up for it

    @property
    def key(self) -> str:
        """`digest:sha256:…`, `name:…` or `history:…`."""
        return f"{self.kind}:{self.value}"


def claims(image: Image) -> tuple[Claim, ...]:
    """Every different claim of the image, digests first. Pure; never raises."""
    found = [
        _labelled(image, "digest", BASE_DIGEST),
        _labelled(image, "name", BASE_NAME),
    ]
    if tells_images_apart(image.history):
        found.append((Claim("history", history_digest(image.history), ("history",)),))
    return tuple(claim for group in found for claim in group)


def _labelled(image: Image, kind: str, name: str) -> tuple[Claim, ...]:
    origins: dict[str, list[str]] = {}
    for origin, texts in (("label", image.labels), ("annotation", image.annotations)):
        text = texts.get(name, "").strip()
        if text:
            origins.setdefault(text, []).append(origin)
    return tuple(
        Claim(kind, text, tuple(where), kind == "digest" and not _is_digest(text))
        for text, where in sorted(origins.items())
    )


def _is_digest(text: str) -> bool:
    try:
        Digest.parse(text)
    except ManifestError:
        return False
    return True


def history_digest(history: tuple[History, ...]) -> str:
    """A digest over all that the entries say."""
    return "sha256:" + sha256(repr([_told(entry) for entry in history]).encode()).hexdigest()


def starts_with_history(image: Image, base: Image) -> bool:
    """Whether the image tells the whole history of `base` as its own beginning.

    Only a history that tells images apart counts (`tells_images_apart`).
    """
    length = len(base.history)
    return (
        0 < length <= len(image.history)
        and tells_images_apart(base.history)
        and all(
            _told(mine) == _told(theirs)
            for mine, theirs in zip(image.history[:length], base.history, strict=True)
        )
    )


def tells_images_apart(history: tuple[History, ...]) -> bool:
    """Whether a layer in it has a command and a time. Builders that leave these out, or write the
    epoch, give many images one history, and that claims nothing."""
    return any(
        entry.created_by and not entry.empty_layer and entry.created[:10] not in _NO_TIME
        for entry in history
    )


def _told(entry: History) -> tuple[str, str, str, str, bool]:
    return (entry.created, entry.created_by, entry.comment, entry.author, entry.empty_layer)
