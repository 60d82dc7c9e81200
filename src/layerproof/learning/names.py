"""Names in relation to names: whether one is a slip of a key away from another.

Only the relation counts, so that renaming everything alike changes nothing. One slip is a
character left out, added, replaced, or swapped with its neighbour (optimal string alignment
distance 1), or separators placed otherwise.
"""

_SEPARATORS = str.maketrans("", "", "-_.")
_LONGEST = 200  # characters: longer names are not compared
_SHORTEST = 4  # shorter ones are too often a slip apart by chance


def one_slip(a: str, b: str) -> bool:
    """Whether two different names are one slip apart."""
    if a == b or abs(len(a) - len(b)) > 1:
        return a != b and a.translate(_SEPARATORS) == b.translate(_SEPARATORS)
    start, end = 0, 0
    shorter = min(len(a), len(b))
    while start < shorter and a[start] == b[start]:
        start += 1
    while end < shorter - start and a[-1 - end] == b[-1 - end]:
        end += 1
    left, right = a[start : len(a) - end], b[start : len(b) - end]
    if len(left) <= 1 and len(right) <= 1:
        return True
    if left == right[::-1] and len(left) == 2:
        return True
    return a.translate(_SEPARATORS) == b.translate(_SEPARATORS)


class Neighbours:
    """Finds a known name that is one slip away: every known name is filed under itself with one
    character left out (as symmetric deletion does), then compared."""

    __slots__ = ("_filed", "_known")

    def __init__(self) -> None:
        self._filed: dict[str, list[str]] = {}
        self._known: set[str] = set()

    def add(self, name: str) -> None:
        """A known name."""
        if name in self._known or not _SHORTEST <= len(name) <= _LONGEST:
            return
        self._known.add(name)
        for key in _keys(name):
            self._filed.setdefault(key, []).append(name)

    def near(self, name: str) -> str:
        """One such name; "" if there is none, or the name itself is known."""
        if name in self._known or not _SHORTEST <= len(name) <= _LONGEST:
            return ""
        for key in _keys(name):
            for other in self._filed.get(key, ()):
                if one_slip(name, other):
                    return other
        return ""


def _keys(name: str) -> dict[str, None]:
    keys = {name: None, name.translate(_SEPARATORS): None}
    for place in range(len(name)):
        keys[name[:place] + name[place + 1 :]] = None
    return keys


def shape(tag: str) -> str:
    """A tag's form: `12.4-slim` and `13.1-slim` have one. Runs of digits are alike."""
    made: list[str] = []
    for character in tag[:128]:
        if not character.isdigit():
            made.append(character)
        elif not made or made[-1] != "0":
            made.append("0")
    return "".join(made)
