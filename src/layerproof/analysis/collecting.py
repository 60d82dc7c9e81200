"""What the collectors share: fields from hostile bytes, bounded reports, records of a database."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol, TypeVar

from layerproof.analysis.interface import Facts, Skipped
from layerproof.model.entry import EntryTable
from layerproof.model.package import Package

MAX_FIELD = 4096  # bytes of a name, version, architecture or source
MAX_LICENCE = 256  # characters; more is a licence's text, not its name
MAX_RECORDS = 100_000  # of one database; all of Debian has fewer packages
MAX_PACKAGES = 100_000  # that one analyser keeps of one layer
MAX_SKIPPED = 1_000  # reports of one analyser on one layer
_BLOCK = 1 << 20


class UnusableFieldError(ValueError):
    """A field that names nothing. Its text is the reason; it never leaves a collector."""


def text(raw: bytes, what: str) -> str:
    """A field as text, without surrounding white space; "" stays "".

    Raises UnusableFieldError when it is too long, not UTF-8, or holds characters that do not
    print: no package manager writes these, and they would forge lines in what people read.
    """
    if len(raw) > MAX_FIELD:
        raise UnusableFieldError(f"{what} is longer than {MAX_FIELD} bytes")
    try:
        value = raw.decode().strip()
    except UnicodeDecodeError as error:
        raise UnusableFieldError(f"{what} is not UTF-8") from error
    if not value.isprintable():
        raise UnusableFieldError(f"{what} holds characters that do not print")
    return value


def required(raw: bytes, what: str) -> str:
    """As `text`, and raises UnusableFieldError for an empty field too."""
    value = text(raw, what)
    if not value:
        raise UnusableFieldError(f"no {what}")
    return value


def licence(raw: bytes) -> str:
    """A licence's name: the first line, what can be printed of it, cut to `MAX_LICENCE`.

    It decides nothing, so it is repaired rather than refused.
    """
    line = raw[: 4 * MAX_LICENCE].strip().partition(b"\n")[0]
    value = line.decode("utf-8", "replace").strip()
    if not value.isprintable():
        value = "".join(filter(str.isprintable, value))
    return value[:MAX_LICENCE]


def display(path: bytes) -> str:
    """A path for people to read; bytes that are not UTF-8 or do not print are escaped."""
    value = path.decode("utf-8", "backslashreplace")
    if value.isprintable():
        return value
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in value)


class SkipLog:
    """What one analyser could not use. Bounded: the rest is counted."""

    __slots__ = ("_analyser", "_kept", "_more")

    def __init__(self, analyser: str) -> None:
        self._analyser = analyser
        self._kept: list[Skipped] = []
        self._more = 0

    def add(self, path: bytes, reason: str) -> None:
        """Report one file, or one record of it."""
        if len(self._kept) < MAX_SKIPPED:
            self._kept.append(Skipped(self._analyser, path, reason))
        else:
            self._more += 1

    def result(self) -> tuple[Skipped, ...]:
        """All reports."""
        if not self._more:
            return tuple(self._kept)
        return (*self._kept, Skipped(self._analyser, b"", f"{self._more} more were skipped"))


def record_pattern(names: bytes, initials: bytes) -> re.Pattern[bytes]:
    """For `records`: finds the named fields (an alternation), and the blank lines between records.

    `initials` are all letters that a name may begin with: to look at one letter first saves a
    third. Continuation lines begin with white space and so never match.
    """
    field = rb"(" + names + rb")[ \t]*:([^\n]*)"
    return re.compile(rb"\n(?=[\r\n" + initials + rb"]|\Z)(?:" + field + rb"|[\r\n]*(?=\n|\Z))")


def records(
    data: bytes, pattern: re.Pattern[bytes], first: bytes
) -> Iterator[dict[bytes, bytes] | None]:
    """The records of a database of `Field: value` lines: the wanted fields of each, by their names
    in lower case, raw.

    A record ends at a blank line, or where its `first` field comes again (a lost blank line).
    After `MAX_RECORDS`, empty ones included, it yields None and stops.
    """
    record: dict[bytes, bytes] = {}
    count = 0
    for block in _blocks(b"\n" + data):
        for written, value in pattern.findall(block):
            name = written.lower()
            if not name or (name == first and name in record):
                count += 1
                if count > MAX_RECORDS:
                    yield None
                    return
                if record:
                    yield record
                    record = {}
            if name:
                record[name] = value
    if record:
        yield record


def _blocks(data: bytes) -> Iterator[bytes]:
    """`data` in pieces, each from a line end on, so that hostile data cannot fill the memory with
    matches. The pattern of `records` sees a blank line wherever it is cut."""
    start = 0
    while len(data) - start > _BLOCK:
        end = data.find(b"\n", start + _BLOCK)
        if end < 0:
            break
        yield data[start:end]
        start = end
    yield data[start:]


class NamedRecord(Protocol):
    """A package as a database has it."""

    @property
    def name(self) -> str:
        """The package."""

    @property
    def architecture(self) -> str:
        """Names are unique per architecture."""


R = TypeVar("R", bound=NamedRecord)


def database(
    path: bytes,
    found: Iterator[dict[bytes, bytes] | None],
    make: Callable[[dict[bytes, bytes]], R],
    skipped: SkipLog,
) -> list[R]:
    """One record per package of a database, the last of a name and architecture. What `make`
    refuses with UnusableFieldError, and what `records` left out, is reported."""
    kept: dict[tuple[str, str], R] = {}
    for fields in found:
        if fields is None:
            skipped.add(path, f"more than {MAX_RECORDS} records; the rest was not read")
            break
        try:
            record = make(fields)
        except UnusableFieldError as error:
            skipped.add(path, f"a record was not used: {error}")
            continue
        kept[record.name, record.architecture] = record
    return list(kept.values())


class OneFileEach:
    """The collector for packages that have a metadata file of their own."""

    def __init__(
        self,
        analyser: str,
        accepts: Callable[[bytes], bool],
        parse: Callable[[bytes, bytes], Package | None],
    ) -> None:
        self._accepts = accepts
        self._parse = parse
        self._found: dict[bytes, Package | None] = {}
        self._skipped = SkipLog(analyser)

    def file(self, path: bytes, index: int, data: bytes) -> None:
        """See `interface.Collector`."""
        if not self._accepts(path):
            return
        if len(self._found) >= MAX_PACKAGES:
            self._skipped.add(path, f"more than {MAX_PACKAGES} such packages in one layer")
            return
        try:
            self._found[path] = self._parse(path, data)
        except UnusableFieldError as error:
            self._found[path] = None
            self._skipped.add(path, str(error))

    def finish(self, entries: EntryTable) -> Facts:
        """See `interface.Collector`."""
        packages = tuple(package for package in self._found.values() if package is not None)
        return Facts(packages, tuple(self._found), {}, self._skipped.result())


class ManyInOneFile:
    """The collector for files that name many packages, maybe several versions of one."""

    def __init__(
        self,
        analyser: str,
        accepts: Callable[[bytes], bool],
        parse: Callable[[bytes, bytes], Iterator[Package]],
    ) -> None:
        self._accepts = accepts
        self._parse = parse
        self._found: dict[bytes, list[Package]] = {}
        self._count = 0
        self._skipped = SkipLog(analyser)

    def file(self, path: bytes, index: int, data: bytes) -> None:
        """See `interface.Collector`."""
        if not self._accepts(path):
            return
        # found again in the same layer: what was there before is gone
        found = self._found[path] = []
        try:
            for package in self._parse(path, data):
                if self._count >= MAX_PACKAGES:
                    raise UnusableFieldError(f"more than {MAX_PACKAGES} packages in one layer")
                self._count += 1
                found.append(package)
        except UnusableFieldError as error:
            self._skipped.add(path, str(error))

    def finish(self, entries: EntryTable) -> Facts:
        """See `interface.Collector`."""
        packages = tuple(dict.fromkeys(p for found in self._found.values() for p in found))
        return Facts(packages, tuple(self._found), {}, self._skipped.result())


def json_value(data: bytes) -> Any:
    """A JSON document. Raises UnusableFieldError."""
    import msgspec  # costs 10 ms to load, which only layers with such files should pay

    try:
        return msgspec.json.decode(data.removeprefix(b"\xef\xbb\xbf"))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnusableFieldError("not JSON") from error


def json_object(data: bytes) -> dict[str, Any]:
    """A JSON object. Raises UnusableFieldError."""
    value = json_value(data)
    if not isinstance(value, dict):
        raise UnusableFieldError("not a JSON object")
    return value


def field(item: Mapping[str, Any], name: str) -> str:
    """A text of an object that must be there. Raises UnusableFieldError."""
    value = item.get(name)
    if not isinstance(value, str):
        raise UnusableFieldError(f"no {name}")
    return required(value.encode("utf-8", "replace"), name)
