"""Feeds' documents → records, one module per format. Nothing here reads a file.

Feeds are hostile input, too: what cannot be used becomes a `Problem`, which is counted and shown.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from layerproof.model.advisory import Advisory, CveFacts

MAX_TEXT = 4096  # characters of a name or a version
MAX_ID = 256


@dataclass(frozen=True, slots=True)
class Problem:
    """A record that was not used."""

    where: str
    reason: str


@dataclass(frozen=True, slots=True)
class CveRecord:
    """One CVE beside the advisories."""

    cve: str
    facts: CveFacts


@dataclass(frozen=True, slots=True)
class NewestRecord:
    """The newest version of a package."""

    ecosystem: str
    name: str
    version: str
    published: datetime | None = None


@dataclass(frozen=True, slots=True)
class EndOfLifeRecord:
    """When a release ends; `product` is an os-release ID."""

    product: str
    cycle: str
    ends: date


@dataclass(frozen=True, slots=True)
class Covered:
    """That the document speaks for the whole ecosystem."""

    ecosystem: str
    versions: bool = False  # of newest versions, not of advisories
    as_of: datetime | None = None  # None: as its feed


Record = Advisory | CveRecord | NewestRecord | EndOfLifeRecord | Covered | Problem


class UnusableError(ValueError):
    """A record that says nothing usable; its text is the reason."""


def string(value: Any, what: str, limit: int = MAX_TEXT) -> str:
    """A printable text that is not empty. Raises UnusableError."""
    if not isinstance(value, str) or not value.strip():
        raise UnusableError(f"no {what}")
    if len(value) > limit:
        raise UnusableError(f"{what} is longer than {limit} characters")
    if not value.isprintable():
        raise UnusableError(f"{what} holds characters that do not print")
    return value.strip()


def strings(value: Any) -> tuple[str, ...]:
    """The usable texts of a list."""
    if not isinstance(value, list):
        return ()
    return tuple(
        v for v in value if isinstance(v, str) and 0 < len(v) <= MAX_ID and v.isprintable()
    )


def time(value: Any) -> datetime | None:
    """RFC 3339, or a day; None for what is neither, and for year 1 (Go's zero)."""
    if isinstance(value, datetime):
        found = value
    elif isinstance(value, date):
        found = datetime(value.year, value.month, value.day, tzinfo=UTC)
    else:
        try:
            found = datetime.fromisoformat(value)
        except (ValueError, TypeError):
            return None
    if found.year < 1970:
        return None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def line(value: Any, limit: int = 200) -> str:
    """One printable line for people; it decides nothing, so it is repaired and cut."""
    if not isinstance(value, str):
        return ""
    words = " ".join(value[: 8 * limit].split())
    text = words if words.isprintable() else "".join(filter(str.isprintable, words))
    return text if len(text) <= limit else text[: limit - 1] + "…"
