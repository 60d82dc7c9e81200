"""Every scheme orders every text, totally: antisymmetric, transitive, and as `hash` has it."""

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerproof.advisories.order import SCHEMES, key

_WORDS = [
    "0",
    "00",
    "1",
    "01",
    "10",
    "2",
    ".",
    "-",
    "_",
    "~",
    "^",
    "+",
    ":",
    "alpha",
    "beta",
    "rc",
    "a",
    "b",
    "p",
    "r",
    "-r1",
    "_p1",
    "_rc",
    "_git",
    "~deb",
    "snapshot",
    "final",
    "ga",
    "sp",
    "foo",
    "dev",
    "post",
    "pre",
    "v",
    "!",
    "el8",
    "é",
]
_VERSIONS = st.one_of(
    st.lists(st.sampled_from(_WORDS), max_size=7).map("".join), st.text(max_size=8)
)


@pytest.mark.parametrize("scheme", sorted(set(SCHEMES.values())))
@given(versions=st.tuples(_VERSIONS, _VERSIONS, _VERSIONS))
def test_order_is_total(scheme: str, versions: tuple[str, str, str]) -> None:
    keys = [key(scheme, version) for version in versions]
    for one in keys:
        for other in keys:
            assert (one < other) + (one == other) + (one > other) == 1
            assert (one < other) == (other > one)
            if one == other:
                assert hash(one) == hash(other)
    for one, two, three in permutations(keys):
        if one <= two <= three:
            assert one <= three
