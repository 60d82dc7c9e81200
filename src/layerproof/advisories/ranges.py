"""Whether a version is affected: OSV schema 1.7, "Evaluation".

A version is affected if it is one of the listed, or if a range has it. Of a range, the events are
taken in the order of their versions: one introduces, one fixes, one is the last affected. A `limit`
ends everything at and above it. `0` is before every version.
"""

from collections.abc import Iterable
from typing import NamedTuple

from layerproof.advisories.order import Key, key
from layerproof.model.advisory import Affected, EventKind, Range

_FIRST: Key = ()  # before every version's key
_SINCE_EVER = (EventKind.INTRODUCED, "0")
# What comes first among events at one version
_TURN = {
    EventKind.FIXED: 0,
    EventKind.LIMIT: 0,
    EventKind.INTRODUCED: 1,
    EventKind.LAST_AFFECTED: 2,
    EventKind.AFTER: 3,
}


class Hit(NamedTuple):
    """That a version is affected; `fixed` is the first fixed version above it, or ""."""

    fixed: str


def affects(affected: Affected, scheme: str, version: str) -> Hit | None:
    """None if `version` is not affected."""
    at = key(scheme, version)
    hits = [hit for events in affected.ranges if (hit := _within(events, scheme, at)) is not None]
    if hits:
        # of overlapping ranges all must be left: the fix is the highest of them
        return Hit(
            max((hit.fixed for hit in hits), key=lambda fix: key(scheme, fix) if fix else ())
        )
    if version in affected.versions or (
        # as OSV has it, listed versions are texts; those of a record without ranges are all it says
        not affected.ranges and any(at == key(scheme, v) for v in affected.versions)
    ):
        return Hit(_next_fix(affected.ranges, scheme, at))
    return None


def _place(scheme: str, version: str) -> Key:
    return _FIRST if version == "0" else key(scheme, version)


def _within(events: Range, scheme: str, at: Key) -> Hit | None:
    if len(events) == 2 and events[0] == _SINCE_EVER and events[1][0] is EventKind.FIXED:
        # nine ranges of ten: all versions before a fix
        return Hit(events[1][1]) if at < _place(scheme, events[1][1]) else None
    limits = [version for kind, version in events if kind is EventKind.LIMIT and version != "*"]
    if limits and not any(at < _place(scheme, limit) for limit in limits):
        return None
    ordered = sorted(
        ((_place(scheme, version), _TURN[kind], kind, version) for kind, version in events),
        key=lambda event: event[:2],
    )
    inside = False
    for place, _, kind, version in ordered:
        if kind is EventKind.LIMIT:
            continue
        if place > at:
            if inside and kind is EventKind.FIXED:
                return Hit(version)
            if inside and kind is EventKind.INTRODUCED:
                continue
            if inside:
                break
            return None
        if kind is EventKind.INTRODUCED:
            inside = True
        elif kind is EventKind.FIXED:
            inside = False
        elif place < at:  # after one version, or the last affected one
            inside = kind is EventKind.AFTER
    return Hit("") if inside else None


def _next_fix(ranges: Iterable[Range], scheme: str, at: Key) -> str:
    fixes = {
        version
        for events in ranges
        for kind, version in events
        if kind is EventKind.FIXED and _place(scheme, version) > at
    }
    return min(fixes, key=lambda fix: key(scheme, fix), default="")
