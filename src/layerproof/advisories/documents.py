"""A feed's document, whatever its format → records. Nothing here reads a file.

The format is told by the document's own shape, so an operator may import whatever they have. What
no format claims is a `Problem`: nothing is passed over in silence.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from layerproof.advisories import vex
from layerproof.advisories.formats import (
    Covered,
    Problem,
    Record,
    UnusableError,
    cves,
    debian_tracker,
    end_of_life,
    newest,
    node_working_group,
    osv,
    secdb,
)
from layerproof.model.vulnerability import VexStatement

_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
INDEXES = ("Packages", "APKINDEX")  # names of distributions' package indexes
_LARGE = 16 << 20  # bytes; no document but lists of records is larger
_MAX_YAML = 4 << 20  # a record; YAML is slow to read

Found = Record | VexStatement


def read(name: str, data: bytes) -> Iterator[Found]:
    """The records of one document; `name` is its file's."""
    last = name.rpartition("/")[2].rpartition("#")[2]
    if last.endswith((".yaml", ".yml")):
        yield from _yaml(name, data, page=False)
    elif last.endswith(".md"):
        yield from _yaml(name, data, page=True)
    elif last.endswith(".csv"):
        yield from cves.read_epss_csv(data.decode("ascii", "replace"))
    elif last in INDEXES:
        yield from _index(name, data)
    else:
        yield from _json(name, data)


def is_document(name: str) -> bool:
    """Whether a file of an archive or a folder is one that `read` is for; others (licences, notes,
    indexes) are passed over."""
    last = name.rpartition("/")[2]
    if last.startswith("."):
        return False
    if last.endswith(".md"):
        return name.rpartition("/")[0].endswith("products")
    return last.endswith((".json", ".yaml", ".yml", ".csv", ".jsonl")) or last in INDEXES


def _large(name: str, data: bytes) -> Iterator[Found]:
    """Item by item: decoded as a whole, a document takes ten times its size of memory."""
    try:
        if data.lstrip()[:1] == b"[":
            items: list[tuple[str, msgspec.Raw]] = [
                ("", raw) for raw in msgspec.json.decode(data, type=list[msgspec.Raw])
            ]
        else:
            items = list(msgspec.json.decode(data, type=dict[str, msgspec.Raw]).items())
    except _UNREADABLE as error:
        yield Problem(name, f"not readable as JSON: {error}")
        return
    covered: dict[Covered, None] = {}
    for key, raw in items:
        try:
            item = msgspec.json.decode(raw)
        except _UNREADABLE as error:
            yield Problem(f"{name}: {key[:80]}", f"not readable as JSON: {error}")
            continue
        if debian_tracker.looks_like({key: item}):
            for record in debian_tracker.read({key: item}):
                if isinstance(record, Covered):
                    covered.setdefault(record)
                else:
                    yield record
        elif osv.looks_like(item) or node_working_group.looks_like(item):
            yield from recognised(name, item, nested=True)
        else:
            yield Problem(f"{name}: {key[:80]}", "no format that is known here")
    yield from covered


def _json(name: str, data: bytes) -> Iterator[Found]:
    if len(data) > _LARGE and not name.endswith((".jsonl", ".ndjson")):
        yield from _large(name, data)
        return
    try:
        document = msgspec.json.decode(data)
    except _UNREADABLE as error:
        lines = data.split(b"\n")
        if name.endswith((".jsonl", ".ndjson")) and len(lines) > 1:
            for number, row in enumerate(lines, 1):
                if row.strip():
                    yield from _json(f"{name} line {number}", row)
            return
        yield Problem(name, f"not readable as JSON: {error}")
        return
    yield from recognised(name, document)


def _yaml(name: str, data: bytes, *, page: bool) -> Iterator[Found]:
    import yaml  # only such feeds need it

    if len(data) > _MAX_YAML:
        yield Problem(name, f"more than {_MAX_YAML} bytes of YAML")
        return
    try:
        text = data.decode()
        if page:
            text = text.removeprefix("---").partition("\n---")[0]
        document = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
        yield Problem(name, f"not readable as YAML: {str(error).partition(chr(10))[0]}")
        return
    if page:
        yield from end_of_life.read_page(document, name.rpartition("/")[2])
    else:
        yield from recognised(name, document)


def _index(name: str, data: bytes) -> Iterator[Found]:
    """Distributions' package indexes are named by the release that they are of, before a colon."""
    ecosystem, colon, _ = name.rpartition("#")
    if not colon:
        yield Problem(name, "a package index tells no release: import it with --release Debian:12")
        return
    text = data.decode("utf-8", "replace")
    read_index = newest.read_apkindex if ecosystem.startswith("Alpine") else newest.read_packages
    yield from read_index(text, ecosystem)


def recognised(name: str, document: Any, *, nested: bool = False) -> Iterator[Found]:
    """The records of a decoded document."""
    if osv.looks_like(document):
        found = osv.read(document)
        if isinstance(found, UnusableError):
            yield Problem(f"{name}: {str(document.get('id'))[:80]}", str(found))
        elif found is not None:
            yield found
        return
    if node_working_group.looks_like(document):
        record = node_working_group.read(document)
        yield Problem(name, str(record)) if isinstance(record, UnusableError) else record
        return
    for claims, reader in _FORMATS:
        if claims(document):
            yield from reader(document)
            return
    if end_of_life.is_api(document, name.rpartition("/")[2]):
        yield from end_of_life.read_api(document, name.rpartition("/")[2])
        return
    several = document.values() if isinstance(document, dict) else document
    if not nested and isinstance(document, dict | list) and _every(several):
        for item in several:
            yield from recognised(name, item, nested=True)
        return
    yield Problem(name, "no format that is known here")


def _every(documents: Any) -> bool:
    """Whether a list or a map holds records and nothing else."""
    return bool(documents) and all(
        osv.looks_like(d) or node_working_group.looks_like(d) for d in documents
    )


_FORMATS = (
    (secdb.looks_like, secdb.read),
    (newest.is_versions, newest.read_versions),
    (cves.is_kev, cves.read_kev),
    (cves.is_epss, cves.read_epss),
    (cves.is_scores, cves.read_scores),
    (newest.is_pypi, newest.read_pypi),
    (newest.is_npm, newest.read_npm),
    (vex.is_openvex, vex.read_openvex),
    (vex.is_csaf, vex.read_csaf),
    (debian_tracker.looks_like, debian_tracker.read),
)
