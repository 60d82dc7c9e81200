"""What a history remembers: days on which something happened, and who took part. All bounded.

A burst within a day counts once, so that no principal buys history by repetition. What has not
happened for longest is forgotten first.
"""

from collections.abc import Iterable, Iterator
from hashlib import blake2b

_FORGET = 8  # a full table forgets one part in so many


def number(text: str | bytes) -> int:
    """63 bits that stand for a text: equal texts, equal numbers. Fits a msgpack integer."""
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "big") >> 1


class Days:
    """On how many days something happened, by key. Days are told oldest first; an earlier one than
    the last of its key is not counted again."""

    __slots__ = ("_limit", "table")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.table: dict[str, tuple[int, int, int]] = {}  # days, the first, the last

    def add(self, key: str, day: int) -> None:
        """It happened on this day."""
        known = self.table.get(key)
        if known is None:
            if len(self.table) >= self._limit:
                self._forget()
            self.table[key] = (1, day, day)
        elif day > known[2]:
            self.table[key] = (known[0] + 1, known[1], day)

    def count(self, key: str) -> int:
        """On how many days."""
        known = self.table.get(key)
        return known[0] if known is not None else 0

    def first(self, key: str) -> int | None:
        """The first day."""
        known = self.table.get(key)
        return known[1] if known is not None else None

    def last(self, key: str) -> int | None:
        """The last day."""
        known = self.table.get(key)
        return known[2] if known is not None else None

    def remove(self, key: str) -> None:
        """As if it had never happened."""
        self.table.pop(key, None)

    def _forget(self) -> None:
        oldest = sorted(self.table, key=lambda key: (self.table[key][2], key))
        for key in oldest[: max(len(oldest) // _FORGET, 1)]:
            del self.table[key]


class Members:
    """Which members each key has; of each, the first so many."""

    __slots__ = ("_each", "_limit", "table")

    def __init__(self, limit: int, each: int) -> None:
        self._limit, self._each = limit, each
        self.table: dict[str, dict[str, None]] = {}

    def add(self, key: str, member: str) -> None:
        """One more."""
        found = self.table.get(key)
        if found is None:
            if len(self.table) >= self._limit:
                for old in list(self.table)[: max(self._limit // _FORGET, 1)]:
                    del self.table[old]
            self.table[key] = {member: None}
        elif len(found) < self._each:
            found[member] = None

    def of(self, key: str) -> Iterable[str]:
        """All of them."""
        return self.table.get(key, ())

    def has(self, key: str, member: str) -> bool:
        """Whether it is one of them."""
        return member in self.table.get(key, ())

    def others(self, key: str, than: str) -> int:
        """How many there are besides `than`."""
        found = self.table.get(key)
        return len(found) - (than in found) if found else 0

    def remove(self, key: str, member: str) -> None:
        """As if it had never been one."""
        found = self.table.get(key)
        if found is not None:
            found.pop(member, None)


class Seen:
    """Numbers that were seen; the newest so many."""

    __slots__ = ("_limit", "table")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.table: dict[int, None] = {}

    def add(self, number: int) -> None:
        """Seen."""
        if number in self.table:
            return
        if len(self.table) >= self._limit:
            for old in list(self.table)[: max(self._limit // _FORGET, 1)]:
                del self.table[old]
        self.table[number] = None

    def __contains__(self, number: int) -> bool:
        return number in self.table

    def __len__(self) -> int:
        return len(self.table)

    def __iter__(self) -> Iterator[int]:
        return iter(self.table)
