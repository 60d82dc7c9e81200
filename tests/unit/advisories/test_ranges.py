"""OSV's evaluation of ranges."""

import pytest

from layerproof.advisories.ranges import affects
from layerproof.model.advisory import Affected, EventKind, Range

INTRODUCED, FIXED, LAST = EventKind.INTRODUCED, EventKind.FIXED, EventKind.LAST_AFFECTED
AFTER, LIMIT = EventKind.AFTER, EventKind.LIMIT


def verdict(version: str, *ranges: Range, versions: tuple[str, ...] = ()) -> str | None:
    """The fix, "" if affected without one, None if not affected."""
    hit = affects(Affected("npm", "a", ranges, versions), "semver", version)
    return None if hit is None else hit.fixed


SIMPLE: Range = ((INTRODUCED, "1.0.0"), (FIXED, "1.2.0"))
TWICE: Range = ((INTRODUCED, "1.0.0"), (FIXED, "1.2.0"), (INTRODUCED, "2.0.0"), (FIXED, "2.1.0"))


@pytest.mark.parametrize(
    ("version", "expected"),
    [("0.9.0", None), ("1.0.0", "1.2.0"), ("1.1.9", "1.2.0"), ("1.2.0", None), ("3.0.0", None)],
)
def test_a_range_begins_with_its_first_and_ends_before_its_fix(
    version: str, expected: str | None
) -> None:
    assert verdict(version, SIMPLE) == expected


@pytest.mark.parametrize(
    ("version", "expected"),
    [("1.1.0", "1.2.0"), ("1.5.0", None), ("2.0.5", "2.1.0"), ("2.1.0", None)],
)
def test_what_is_introduced_again_is_affected_again(version: str, expected: str | None) -> None:
    assert verdict(version, TWICE) == expected
    assert verdict(version, tuple(reversed(TWICE))) == expected


def test_zero_is_before_every_version() -> None:
    everything: Range = ((INTRODUCED, "0"),)
    for version in ("0.0.0-alpha", "0", "not a version", "9"):
        assert verdict(version, everything) == ""


def test_the_last_affected_is_affected_and_what_follows_is_not() -> None:
    last: Range = ((INTRODUCED, "0"), (LAST, "1.2.0"))
    assert verdict("1.2.0", last) == ""
    assert verdict("1.2.1-rc1", last) is None


def test_a_limit_ends_everything_from_it_on() -> None:
    limited: Range = ((INTRODUCED, "0"), (LIMIT, "2.0.0"))
    assert verdict("1.9.9", limited) == ""
    assert verdict("2.0.0", limited) is None
    assert verdict("9.0.0", ((INTRODUCED, "0"), (LIMIT, "*"))) == ""


def test_an_open_beginning_excludes_its_version() -> None:
    after: Range = ((AFTER, "1.0.0"), (FIXED, "1.2.0"))
    assert verdict("1.0.0", after) is None
    assert verdict("1.0.1", after) == "1.2.0"


def test_listed_versions_count_beside_ranges() -> None:
    assert verdict("5.0.0", SIMPLE, versions=("5.0.0",)) == ""
    assert verdict("0.5.0", SIMPLE, versions=("0.5.0",)) == "1.2.0"  # the next fix
    assert verdict("0.5.0", versions=("v0.5",)) == ""  # another spelling, without ranges


def test_of_overlapping_ranges_the_highest_fix_frees() -> None:
    other: Range = ((INTRODUCED, "1.1.0"), (FIXED, "1.4.0"))
    assert verdict("1.1.5", SIMPLE, other) == "1.4.0"


def test_a_fix_below_the_beginning_fixes_nothing() -> None:
    odd: Range = ((INTRODUCED, "2.0.0"), (FIXED, "1.0.0"))
    assert verdict("2.5.0", odd) == ""
