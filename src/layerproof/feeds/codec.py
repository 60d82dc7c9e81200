"""Between advisories and the columns of the advisory file: short JSON arrays."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from layerproof.model.advisory import Advisory, Affected, EventKind
from layerproof.model.vulnerability import Level, State, VexStatement, VexStatus

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)
_EVENTS = {"i": EventKind.INTRODUCED, "a": EventKind.AFTER, "f": EventKind.FIXED,
           "l": EventKind.LAST_AFFECTED, "t": EventKind.LIMIT}  # fmt: skip
_LETTERS = {kind: letter for letter, kind in _EVENTS.items()}
_STATES = {state.value: state for state in State}
_LEVELS = {level.value: level for level in Level}


def seconds(time: datetime | None) -> int | None:
    """Whole seconds since 1970."""
    return None if time is None else (time - _EPOCH) // _SECOND


def unseconds(value: int | None) -> datetime | None:
    """What `seconds` was given."""
    return None if value is None else _EPOCH + timedelta(seconds=value)


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def advisory(record: Advisory) -> str:
    """All but the affected packages."""
    return _json(
        [
            record.id,
            record.aliases,
            record.cves,
            record.summary,
            seconds(record.published),
            seconds(record.modified),
            record.level.value,
            record.score,
            record.url,
        ]
    )


def decoder() -> Callable[[str], Any]:
    """Of the documents below; twice as fast as `json`, and worth its import only for many."""
    import msgspec

    return msgspec.json.Decoder().decode


def unadvisory(values: Any) -> Advisory:
    """What `advisory` was given, decoded."""
    name, aliases, cves, summary, published, modified, level, score, url = values
    return Advisory(
        name,
        tuple(aliases),
        tuple(cves),
        summary,
        unseconds(published),
        unseconds(modified),
        False,
        _LEVELS[level],
        score,
        url,
    )


def affected(record: Affected) -> str:
    """All but the ecosystem and the name."""
    ranges = [[[_LETTERS[kind], version] for kind, version in events] for events in record.ranges]
    return _json([ranges, record.versions, record.state.value, record.urgency, record.module])


def unaffected(ecosystem: str, name: str, values: Any) -> Affected:
    """What `affected` was given, decoded."""
    ranges, versions, state, urgency, module = values
    return Affected(
        ecosystem,
        name,
        tuple([tuple([(_EVENTS[letter], v) for letter, v in events]) for events in ranges]),
        tuple(versions),
        _STATES[state],
        urgency,
        module,
    )


def statement(record: VexStatement) -> str:
    """A VEX statement."""
    return _json(
        [
            record.vulnerabilities,
            record.products,
            record.status.value,
            record.parts,
            record.justification,
            record.statement,
            record.author,
            record.document,
            seconds(record.at),
        ]
    )


def unstatement(stored: str) -> VexStatement:
    """What `statement` was given."""
    names, products, status, parts, *words, at = json.loads(stored)
    justification, text, author, document = words
    return VexStatement(
        tuple(names),
        tuple(products),
        VexStatus(status),
        tuple(parts),
        justification,
        text,
        author,
        document,
        unseconds(at),
    )
