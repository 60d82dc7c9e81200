"""Which distribution a layer says it is.

Source: os-release(5). Lines of `NAME=value`; `#` comments and blank lines are ignored. A value is
bare, or wholly inside one pair of single or double quotes; a backslash escapes as in the shell;
nothing is expanded or concatenated. `etc/os-release` is used exclusively where a layer holds it as
a file (it is mostly a symbolic link), else `usr/lib/os-release`.

Lines outside that grammar are reported and not used.
"""

import re

from layerproof.analysis.collecting import SkipLog, UnusableFieldError, text
from layerproof.analysis.interface import Collector, Facts, Interest
from layerproof.model.entry import EntryTable

PATHS = (b"etc/os-release", b"usr/lib/os-release")  # the first that is there counts
_PLAIN = {b"etc/alpine-release": "alpineRelease", b"etc/debian_version": "debianVersion"}
_MAX_BYTES = 64 * 1024
_MAX_FIELDS = 256

_LINE = re.compile(
    rb"""\s* ([A-Za-z_][A-Za-z0-9_]*) =
    (?: " (?P<double> (?: [^"\\$`] | \\. )* ) "
      | ' (?P<single> [^']* ) '
      | (?P<bare> (?: [^\s"'\\$`;&|<>()] | \\. )* )
    ) \s*""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPED_IN_DOUBLE = re.compile(rb'\\(["\\$`])')
_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)
_ID = re.compile(r"[a-z0-9._-]{1,64}")


def parse_line(line: bytes) -> tuple[str, str] | None:
    """One assignment. Raises UnusableFieldError; None for a comment or a blank line."""
    line = line.strip()
    if not line or line.startswith(b"#"):
        return None
    match = _LINE.fullmatch(line)
    if match is None:
        raise UnusableFieldError("a line is not an assignment of os-release(5)")
    name = match[1].decode()
    if match["double"] is not None:
        value = _ESCAPED_IN_DOUBLE.sub(rb"\1", match["double"])
    elif match["single"] is not None:
        value = match["single"]
    else:
        value = _ESCAPED.sub(rb"\1", match["bare"])
    return name, text(value, name)


def parse(data: bytes) -> tuple[dict[str, str], list[str]]:
    """The fields, the last of a name winning as in a shell, and what could not be read."""
    if len(data) > _MAX_BYTES:
        return {}, [f"larger than {_MAX_BYTES} bytes"]
    fields: dict[str, str] = {}
    problems: list[str] = []
    for number, line in enumerate(data.split(b"\n"), 1):
        try:
            field = parse_line(line)
        except UnusableFieldError as error:
            problems.append(f"line {number}: {error}")
            continue
        if field is not None:
            fields[field[0]] = field[1]
        if len(fields) >= _MAX_FIELDS:
            problems.append(f"line {number}: more than {_MAX_FIELDS} fields")
            break
    return fields, problems


class Distribution:
    """For package analysers: the os-release ID of the layer that is being read."""

    __slots__ = ("_ids",)

    def __init__(self) -> None:
        self._ids: dict[bytes, str] = {}

    def file(self, path: bytes, data: bytes) -> bool:
        """Whether the file was an os-release."""
        if path not in PATHS:
            return False
        self._ids[path] = parse(data)[0].get("ID", "")
        return True

    @property
    def id(self) -> str:
        """Such as "debian"; "" when the layer does not tell, or tells nonsense."""
        found = next((self._ids[path] for path in PATHS if path in self._ids), "")
        return found if _ID.fullmatch(found) else ""


class _Collector:
    def __init__(self) -> None:
        self._fields: dict[bytes, dict[str, str]] = {}
        self._plain: dict[str, str] = {}
        self._skipped = SkipLog(OsReleaseAnalyser.id)

    def file(self, path: bytes, index: int, data: bytes) -> None:
        if path in _PLAIN:
            self._plain_file(path, data)
        elif path in PATHS:
            self._fields[path], problems = parse(data)
            for problem in problems:
                self._skipped.add(path, problem)

    def _plain_file(self, path: bytes, data: bytes) -> None:
        try:
            self._plain[_PLAIN[path]] = text(data.partition(b"\n")[0], "the first line")
        except UnusableFieldError as error:
            self._skipped.add(path, str(error))

    def finish(self, entries: EntryTable) -> Facts:
        facts: dict[str, object] = dict(self._plain)
        path = next((path for path in PATHS if path in self._fields), None)
        if path is not None:
            facts |= {"path": path.decode(), "fields": self._fields[path]}
        return Facts(data=facts, skipped=self._skipped.result())


class OsReleaseAnalyser:
    """`data`: {"path", "fields": {"ID": …}, "alpineRelease", "debianVersion"}, each if present."""

    id = "os-release"
    version = 1
    interest = Interest(paths=frozenset((*PATHS, *_PLAIN)))

    def start(self) -> Collector:
        """A fresh collector."""
        return _Collector()
