"""Published vectors of every scheme's order, and cases of the schemes' own specifications."""

import json
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from layerproof.advisories.order import compare, key

_DATA = Path(__file__).parents[4] / "shared" / "data" / "version-vectors"
_LINES = {
    "scalibr-alpine-versions.txt": "apk",
    "scalibr-debian-versions.txt": "dpkg",
    "scalibr-pypi-versions.txt": "pep440",
    "scalibr-redhat-versions.txt": "rpm",
    "scalibr-rubygems-versions.txt": "gem",
    "scalibr-semver-versions.txt": "semver",
}
_SIGNS = {"<": -1, "=": 0, ">": 1}


def _folder() -> Path:
    if not _DATA.is_dir():
        pytest.skip("the published vectors are not here")
    return _DATA


@pytest.mark.parametrize(("file", "scheme"), _LINES.items())
def test_published_lines_hold(file: str, scheme: str) -> None:
    wrong = []
    lines = (_folder() / file).read_text().splitlines()
    cases = [match for line in lines if (match := re.fullmatch(r"(\S+) ([<=>]) (\S+)", line))]
    assert len(cases) > 20
    for case in cases:
        one, sign, other = case.groups()
        if (
            compare(scheme, one, other) != _SIGNS[sign]
            or compare(scheme, other, one) != -_SIGNS[sign]
        ):
            wrong.append(case[0])
    assert not wrong


@pytest.mark.parametrize("file", ["univers-alpine_version_cmp.json", "univers-deb.json"])
def test_published_documents_hold(file: str) -> None:
    wrong = []
    cases = json.loads((_folder() / file).read_text())
    assert cases
    for case in cases:
        versions, expected = case["input"]["versions"], case["expected_output"]
        scheme = {"apk": "apk", "alpine": "apk", "deb": "dpkg"}[case["input"]["input_scheme"]]
        if case["test_type"] == "equality":
            right = (compare(scheme, *versions) == 0) is expected
        else:  # sorted; one that stands twice is equal to itself
            right = sorted(versions, key=lambda version: key(scheme, version)) == expected
            pairs = pairwise(expected)
            right &= all(compare(scheme, *pair) == -(pair[0] != pair[1]) for pair in pairs)
        if not right:
            wrong.append((versions, expected))
    assert not wrong


# Each line in ascending order; versions with `=` between them are equal. Sources: the scheme's
# specification as its module names it.
_ASCENDING = {
    "maven": [
        "1-alpha=1-a0 1-alpha-1=1-a1 1-beta 1-milestone 1-rc=1-cr 1-snapshot 1=1.0=1-ga=1.0.0=1-final "  # noqa: E501
        "1-sp 1-foo 1-1 1.1",
        "1-foo2 1-foo10",
        "1.foo=1-foo 1-1=1.0-1 1.1",
        "1.0.0-foo.0.0=1-foo",
        "2.0.0.RC1 2.0.0.RELEASE=2.0.0 2.0.1",
        "1.0-SNAPSHOT 1.0 1.0.1-SNAPSHOT 1.0.1",
        "1.8.0 1.9.0 1.10.0",
        # Maven's own tests of its ComparableVersion
        "1-alpha2snapshot 1-alpha2 1-alpha-123 1-beta-2 1-beta123 1-m2 1-m11 1-rc 1-cr2 1-rc123 "
        "1-SNAPSHOT 1 1-sp 1-sp2 1-sp123 1-abc 1-def 1-pom-1 1-1-snapshot 1-1 1-2 1-123",
        "2.0 2.0.a 2-1 2.0.2 2.0.123 2.1.0 2.1-a 2.1b 2.1-c 2.1-1 2.1.0.1 2.2 2.123 11.a2 11.a11 "
        "11.b2 11.b11 11.m2 11.m11 11 11.a 11b 11c 11m",
        "1=1.0=1.0.0=1-0=1.0-0=1ga=1release=1final=1GA 1x=1.0.0-x=1-x=1X",
        "6.1.0rc3 6.1.0 6.1H.5-beta",
        "1-0.alpha 1-0.beta 1",
        "1.0.final-redhat 1.0-sp1-redhat=1.0-sp-1-redhat 1.0-sp.1-redhat",
        "20190126.230843 1234567890.12345 123456789012345.1H.5-beta "
        "12345678901234567890.1H.5-beta",
        "4.0.0-rc-1 4.0.0-rc-2 4.0.0",
        "31.1-android 31.1-jre",
        "2.9.10.1 2.9.10.8 2.10.0",
    ],
    "composer": [
        "1.0.0-alpha.1 1.0.0-beta3 1.0.0-RC4 1.0.0 1.0.0-p1=1.0.0-pl1=1.0.0-patch1",
        "1.2.3.4 1.2.3.5 1.2.4",
        "dev-main 1.0.0-dev 1.0.0-alpha1 1.0.0-beta2 1.0.0-RC1 1.0.0=v1.0=1.0.0.0 1.0.0-patch1 1.0.1",  # noqa: E501
        "1.9 1.10",
        "1.0.0-alpha=1.0.0-a 1.0.0-alpha2 1.0.0-alpha10",
    ],
    "nuget": [
        "1.0.1-aaa 1.0.1-alpha 1.0.1-beta 1.0.1-open 1.0.1-rc 1.0.1-rc.2 1.0.1-rc.10 1.0.1-zzz 1.0.1",  # noqa: E501
        "1.0.0-alpha 1.0.0-alpha.1 1.0.0-Beta 1.0.0-rc.1 1.0=1.0.0=1.0.0.0=1.0.0+meta 1.0.0.1 1.0.1",  # noqa: E501
        "1.0.0-BETA=1.0.0-beta",
    ],
    "semver": [
        "1.0.0-alpha 1.0.0-alpha.1 1.0.0-alpha.beta 1.0.0-beta 1.0.0-beta.2 1.0.0-beta.11 1.0.0-rc.1 "  # noqa: E501
        "1.0.0=v1.0.0=1.0=1",
        "v0.0.0-20180125103619-43913f2f4fbd v0.0.0-20190125103619-43913f2f4fbd v1.0.0",
    ],
    "pep440": [
        "1.dev0 1.0.dev456 1.0a1 1.0a2.dev456 1.0a12.dev456 1.0a12 1.0b1.dev456 1.0b2 "
        "1.0b2.post345.dev456 1.0b2.post345 1.0rc1.dev456 1.0rc1 1.0=1.0.0 1.0+abc.5 1.0+abc.7 1.0+5 "  # noqa: E501
        "1.0.post456.dev34 1.0.post456 1.1.dev1",
        "2004d 1",
    ],
    "gem": [
        "1.0.a 1.0.b1 1.0=1 1.0.1.rc1 1.0.1",
        "1.a=1.0.a 1",
        "1.0.0-rc1 1.0.0",
        "1.8.2.a 1.8.2.a9 1.8.2.a10 1.8.2.b 1.8.2 1.8.2.1",
        "5.a 5.0.0.rc2 5.x",
    ],
    "dpkg": [
        "1.0~~ 1.0~~a 1.0~ 1.0 1.0a 1.0+ 1.1",
        "9.9 1:0.1 2:0",
        "1.0-1 1.0-1+b1 1.0-1+deb12u1 1.0-2",
        "2.36-9+deb12u4 2.36-9+deb12u10",
    ],
    "rpm": [
        "1.0~rc1 1.0 1.0^git1 1.0.1",
        "1.0-1.el8 1.0-1.el8_1 1.0-2.el8",
        "1-9 2:0-1",
        "1.0-3.module_el8.6.0+1 1.0-10.module_el8.6.0+1",
    ],
    "apk": [
        "1.2_alpha 1.2_alpha1 1.2_beta 1.2_pre1 1.2_rc 1.2=1.2 1.2-r0 1.2-r1 1.2-r10 1.2_git20200101 "  # noqa: E501
        "1.2_p1 1.2a 1.2.1",
        "1.01 1.1",
    ],
}  # fmt: skip


def _pairs(line: str) -> Iterator[tuple[str, str, int]]:
    groups = [group.split("=") for group in line.split()]
    for place, group in enumerate(groups):
        for one in group:
            for other_place, others in enumerate(groups):
                for other in others:
                    yield one, other, (place > other_place) - (place < other_place)


@pytest.mark.parametrize(
    ("scheme", "line"), [(scheme, line) for scheme, lines in _ASCENDING.items() for line in lines]
)
def test_versions_stand_in_the_order_of_their_specification(scheme: str, line: str) -> None:
    wrong = [
        (one, other, expected)
        for one, other, expected in _pairs(line)
        if compare(scheme, one, other) != expected
    ]
    assert not wrong


@pytest.mark.parametrize("scheme", _ASCENDING)
def test_absurd_versions_have_a_place(scheme: str) -> None:
    repeated = [text * 50_000 for text in ("9", "1-", "~", "1.", "a", "_", "-r")]
    absurd = ["", *repeated, "\0", "é", "1:2:3", "-", "²", "1.0-", "^", "v"]
    keys = [key(scheme, version) for version in absurd]
    for one in keys:
        for other in keys:
            assert (one < other) + (one == other) + (one > other) == 1
