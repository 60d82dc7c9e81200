"""Path globs: a small anchored dialect whose cost is bounded.

1. A glob is a whole absolute path: it starts with `/` and must match from the root to the end.
2. `?` is one byte, `*` any number of bytes; neither crosses a `/`.
3. `**` stands only as a whole segment and is any number of whole segments, none included:
   `/usr/bin/**` is the folder `/usr/bin` and all that is below it.
4. Nothing else is special. `[`, `]`, `{`, `}` and `\\` mean something in other dialects and are
   refused, so that nobody believes that they work here; `?` matches them.
5. `/bin`, `/sbin`, `/lib`, `/lib32`, `/lib64` and `/libx32` stand for the same folders of `/usr`,
   as on every system with a merged `/usr`: `/bin/ls` also matches `/usr/bin/ls`, and the reverse.

Matching never backtracks further than to the last `*` or `**`: the cost of one match is at worst
the length of the path times the length of the glob, whatever either holds.
"""

import re
from collections.abc import Iterable, Sequence

from layerproof.errors import PolicyError

MAX_GLOB = 512  # characters
MAX_SEGMENTS = 32
_REFUSED = frozenset("[]{}\\")
_MERGED = frozenset((b"bin", b"sbin", b"lib", b"lib32", b"lib64", b"libx32"))


class GlobSet:
    """Many globs, asked at once. Exact paths and whole folders cost a look-up, not a search."""

    __slots__ = ("_beginnings", "_depth", "_exact", "_searched", "_trees")

    def __init__(self, globs: Iterable[str]) -> None:
        """Raises PolicyError for a glob that `check_glob` refuses."""
        self._exact: dict[bytes, str] = {}
        self._trees: dict[bytes, str] = {}
        self._searched: list[tuple[list[_Segment | None], str]] = []
        for glob in globs:
            check_glob(glob)
            self._add(glob)
        self._beginnings = tuple(canonical(_beginning(glob)) for _, glob in self._searched)
        self._beginnings += tuple(_beginning(glob) for _, glob in self._searched)
        self._depth = max((tree.count(b"/") + 1 for tree in self._trees if tree), default=0)

    def _add(self, glob: str) -> None:
        path = canonical(glob.encode()[1:])
        if not is_wild(glob):
            self._exact.setdefault(path, glob)
        elif path == b"**":
            self._trees.setdefault(b"", glob)
        elif glob.endswith("/**") and not is_wild(glob[:-3]):
            self._trees.setdefault(path[:-3], glob)
        else:
            segments = [None if part == b"**" else _Segment(part) for part in path.split(b"/")]
            self._searched.append((segments, glob))

    def match(self, path: bytes) -> str | None:
        """The glob that matches the normalised `path`, the most exact one first; else None."""
        merged = canonical(path)
        return self._exact.get(merged) or self._tree(merged) or self._search(path, merged)

    def _tree(self, path: bytes) -> str | None:
        found = self._trees.get(b"") or self._trees.get(path)
        end = -1
        for _ in range(self._depth):
            if found is not None:
                break
            end = path.find(b"/", end + 1)
            if end < 0:
                break
            found = self._trees.get(path[:end])
        return found

    def _search(self, path: bytes, merged: bytes) -> str | None:
        if not (path.startswith(self._beginnings) or merged.startswith(self._beginnings)):
            return None  # most paths of most layers end here
        spellings = [path.split(b"/")] if path else [[]]
        if merged != path:
            spellings.append(merged.split(b"/"))
        for pattern, glob in self._searched:
            if any(_match_segments(pattern, parts) for parts in spellings):
                return glob
        return None


def check_glob(glob: str) -> None:
    """Raises PolicyError, with what is wrong and what to write, unless `glob` is in the dialect."""
    problem = _problem(glob)
    if problem:
        message, remedy = problem
        raise PolicyError(f"glob {glob[:100]!r} {message}", remedy=remedy)


def _problem(glob: str) -> tuple[str, str] | None:  # noqa: PLR0911  because each has its text
    if not glob:
        return "is empty", "write a whole path such as /etc/shadow"
    if not glob.startswith("/"):
        return "does not start with /", f"write /{glob[:100]}, or /**/{glob[:100]} for any folder"
    if len(glob) > MAX_GLOB or glob.count("/") > MAX_SEGMENTS:
        return "is too long", f"at most {MAX_GLOB} characters and {MAX_SEGMENTS} segments"
    if not glob.isprintable():
        return "holds a control character", "write ? in its place"
    if _REFUSED.intersection(glob):
        return "uses [ ] { } or \\, which this dialect does not know", "write ? in its place"
    parts = glob[1:].split("/")
    if glob != "/" and ("" in parts or "." in parts or ".." in parts):
        return "has an empty, . or .. segment", "write the plain path, without / at its end"
    if any("**" in part and part != "**" for part in parts):
        return "uses ** inside a segment", "write * inside a segment, ** as a whole segment"
    return None


def is_wild(glob: str) -> bool:
    """Whether the glob may match more than one path (other than by the merged `/usr`)."""
    return "*" in glob or "?" in glob


def _beginning(glob: str) -> bytes:
    """What every path that `glob` matches begins with; a `**` after a slash may take that back."""
    return re.split(r"[*?]", glob[1:])[0].rstrip("/").encode()


def parents(glob: str) -> list[str]:
    """Globs of the folders above what `glob` matches, lowest first; the root is left out."""
    parts = glob.split("/")
    return ["/".join(parts[:end]) for end in range(len(parts) - 1, 1, -1)]


def canonical(path: bytes) -> bytes:
    """`bin/ls` → `usr/bin/ls`: the one spelling of a path that a merged `/usr` has twice."""
    return b"usr/" + path if path.partition(b"/")[0] in _MERGED else path


class _Segment:
    """One path segment with `*` and `?`: pieces of fixed length that must follow one another."""

    __slots__ = ("_first", "_last", "_middle", "_tail")

    def __init__(self, text: bytes) -> None:
        texts = text.split(b"*")
        first, *rest = (_fixed(piece) for piece in texts)
        self._first = first
        self._last = rest.pop() if rest else None  # None: no `*`, the first piece is all
        self._middle = rest
        self._tail = len(texts[-1])

    def matches(self, part: bytes) -> bool:
        """The leftmost place of each middle piece is as good as any other, so none is retried."""
        if self._last is None:
            return self._first.fullmatch(part) is not None
        first = self._first.match(part)
        end = len(part) - self._tail
        if first is None or end < first.end() or self._last.match(part, end) is None:
            return False
        position = first.end()
        for piece in self._middle:
            found = piece.search(part, position, end)
            if found is None:
                return False
            position = found.end()
        return True


def _fixed(piece: bytes) -> re.Pattern[bytes]:
    """A pattern of as many bytes as `piece`; it has no repetition, so it cannot backtrack."""
    return re.compile(b".".join(re.escape(text) for text in piece.split(b"?")), re.DOTALL)


def _match_segments(pattern: Sequence[_Segment | None], parts: Sequence[bytes]) -> bool:
    """`None` in the pattern is `**`. Goes back to the last `**` only."""
    at = here = 0
    star, resume = -1, 0
    while here < len(parts):
        wanted = pattern[at] if at < len(pattern) else None
        if at < len(pattern) and wanted is None:
            star, resume = at, here
            at += 1
        elif wanted is not None and wanted.matches(parts[here]):
            at += 1
            here += 1
        elif star >= 0:
            resume += 1
            at, here = star + 1, resume
        else:
            return False
    return all(segment is None for segment in pattern[at:])
