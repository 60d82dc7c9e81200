"""One page of a long list, newest first, and where the next one begins."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last row of a page: its time in microseconds since 1970 (0 where rows have no time), and
    its key."""

    at: int
    key: int

    def __str__(self) -> str:
        return f"{self.at:x}.{self.key:x}"

    @classmethod
    def parse(cls, text: str) -> "Cursor":
        """Back from text. Raises ValueError."""
        at, _, key = text.partition(".")
        before_1970 = at[:1] == "-"
        moment = _hex(at[before_1970:])
        return cls(-moment if before_1970 else moment, _hex(key))


# Before the first page.
NEWEST = Cursor((1 << 63) - 1, (1 << 63) - 1)


def _hex(text: str) -> int:
    if not 0 < len(text) <= 16 or not set(text) <= set("0123456789abcdef"):
        raise ValueError("not a cursor")
    found = int(text, 16)
    if found >= 1 << 63:
        raise ValueError("not a cursor")
    return found


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """`after` is None on the last page."""

    items: tuple[T, ...]
    after: Cursor | None = None

    @classmethod
    def of(cls, found: Sequence[tuple[T, Cursor]], limit: int) -> "Page[T]":
        """From rows of which one more than `limit` was asked for."""
        items = found[:limit]
        return cls(
            tuple(item for item, _ in items), items[-1][1] if len(found) > limit > 0 else None
        )
