"""os-release(5), sentence by sentence."""

import platform

import pytest
from tests.unit.analysis.layers import reasons, run

from layerproof.analysis.collecting import UnusableFieldError
from layerproof.analysis.os_release import Distribution, parse, parse_line

DEBIAN = b"""PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"
NAME="Debian GNU/Linux"
VERSION_ID="12"
ID=debian
HOME_URL="https://www.debian.org/"
"""


@pytest.mark.parametrize(
    ("line", "value"),
    [
        (b"A=debian", "debian"),
        (b"A=", ""),
        (b'A=""', ""),
        (b"A=''", ""),
        (b'A="with space; and semicolon"', "with space; and semicolon"),
        (b"A='with space'", "with space"),
        (b'A="it\'s"', "it's"),
        (b"A='say \"so\"'", 'say "so"'),
        (rb'A="a \"quoted\" \$word \\ \`tick\`"', 'a "quoted" $word \\ `tick`'),
        (rb'A="a \n stays"', r"a \n stays"),
        (rb"A='a \$ stays'", r"a \$ stays"),
        (rb"A=bare\ word\$", "bare word$"),
        (b"A=https://example.org/?a=1#x", "https://example.org/?a=1#x"),
        (b"  A=debian \r", "debian"),
        ("A='Ünïcode'".encode(), "Ünïcode"),
    ],
)
def test_value_is_read_by_the_quoting_rules(line: bytes, value: str) -> None:
    assert parse_line(line) == ("A", value)


@pytest.mark.parametrize("line", [b"", b"   ", b"# ID=evil", b"  # ID=evil"])
def test_blank_lines_and_comments_are_ignored(line: bytes) -> None:
    assert parse_line(line) is None


@pytest.mark.parametrize(
    "line",
    [
        b"just words",
        b"1A=digit-first",
        b"export A=b",
        b'A="open',
        b"A='open",
        b'A="one""two"',
        b'A="one"two',
        b"A=two words",
        b"A=semi;colon",
        b'A="$HOME"',
        b"A=$HOME",
        b"A=`id`",
        b"A=$(id)",
        b'A="`id`"',
        b'A="escaped end\\"',
        b"A=\xff",
        b'A="bell\x07"',
        b'A="nul\0"',
    ],
)
def test_line_outside_the_grammar_is_refused(line: bytes) -> None:
    with pytest.raises(UnusableFieldError):
        parse_line(line)


def test_last_of_a_name_wins_as_in_a_shell() -> None:
    assert parse(b"ID=debian\nID=ubuntu\n") == ({"ID": "ubuntu"}, [])


def test_bad_line_is_reported_with_its_number_and_the_rest_is_used() -> None:
    fields, problems = parse(b"ID=debian\n$(rm)\nVERSION_ID=12")
    assert fields == {"ID": "debian", "VERSION_ID": "12"}
    assert len(problems) == 1
    assert problems[0].startswith("line 2: ")


def test_huge_file_and_endless_fields_are_reported() -> None:
    assert parse(b"ID=a\n" * 20_000) == ({}, ["larger than 65536 bytes"])
    fields, problems = parse(b"".join(b"A%d=1\n" % n for n in range(500)))
    assert len(fields) == 256
    assert "more than 256 fields" in problems[0]


def test_etc_is_used_exclusively_over_usr_lib_whatever_the_order() -> None:
    files = {b"usr/lib/os-release": b"ID=vendor\nNAME=V", b"etc/os-release": b"ID=local"}
    expected = {"path": "etc/os-release", "fields": {"ID": "local"}}
    assert run("os-release", files).data == expected
    assert run("os-release", dict(reversed(files.items()))).data == expected


def test_usr_lib_counts_where_etc_is_a_symbolic_link() -> None:
    facts = run("os-release", {b"usr/lib/os-release": DEBIAN})
    assert facts.data["path"] == "usr/lib/os-release"
    assert facts.data["fields"]["VERSION_ID"] == "12"  # type: ignore[index]


def test_release_files_of_alpine_and_debian_are_kept() -> None:
    files = {b"etc/alpine-release": b"3.20.3\n", b"etc/debian_version": b"12.5\nnoise"}
    assert run("os-release", files).data == {"alpineRelease": "3.20.3", "debianVersion": "12.5"}
    broken = run("os-release", {b"etc/alpine-release": b"\xff\xfe"})
    assert broken.data == {}
    assert "not UTF-8" in reasons(broken)


@pytest.mark.parametrize(
    "text", [b"ID=De bian", b"ID='../x'", b"ID=", b"NAME=x", b"ID=" + b"a" * 99]
)
def test_nonsense_id_names_no_distribution(text: bytes) -> None:
    distribution = Distribution()
    assert distribution.file(b"etc/os-release", text)
    assert distribution.id == ""


@pytest.mark.parametrize("order", [1, -1])
def test_distribution_of_etc_wins_whatever_the_order(order: int) -> None:
    distribution = Distribution()
    for path, text in [(b"usr/lib/os-release", b"ID=b"), (b"etc/os-release", b"ID=a")][::order]:
        assert distribution.file(path, text)
    assert not distribution.file(b"etc/debian_version", b"ID=c")
    assert distribution.id == "a"


def test_same_fields_as_the_standard_library_reads(tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    text = DEBIAN + b'# comment\n\nQUOTED="a \\"b\\" \\$c"\nSINGLE=\'d e\'\n'
    (tmp_path / "os-release").write_bytes(text)
    monkeypatch.setattr(platform, "_os_release_candidates", (str(tmp_path / "os-release"),))
    monkeypatch.setattr(platform, "_os_release_cache", None)
    theirs = platform.freedesktop_os_release()
    assert parse(text)[0].items() <= theirs.items()
    assert len(parse(text)[0]) == 7
