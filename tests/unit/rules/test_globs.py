"""The glob dialect: what matches, what is refused, and that no glob costs much."""

import re
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from layerproof.errors import PolicyError
from layerproof.rules.globs import GlobSet, canonical, check_glob, parents


@pytest.mark.parametrize(
    ("glob", "path"),
    [
        ("/etc/shadow", "etc/shadow"),
        ("/", ""),
        ("/usr/bin/**", "usr/bin"),
        ("/usr/bin/**", "usr/bin/a/b/c"),
        ("/**", ""),
        ("/**", "a/b"),
        ("/**/id_rsa", "id_rsa"),
        ("/**/id_rsa", "root/.ssh/id_rsa"),
        ("/home/*/.ssh/**", "home/app/.ssh/config"),
        ("/a/**/b/**/c", "a/x/b/b/y/z/c"),
        ("/a/**/b/**/c", "a/b/c"),
        ("/etc/ld-musl-*.path", "etc/ld-musl-x86_64.path"),
        ("/a*b*c", "abbbc"),
        ("/a*b*c", "abc"),
        ("/?at", "cat"),
        ("/x/*a?c*", "x/zzabczz"),
        ("/x/*", "x/.hidden"),
        ("/bin/ls", "usr/bin/ls"),
        ("/usr/bin/ls", "bin/ls"),
        ("/lib64/**", "usr/lib64/x"),
        ("/usr/lib*/x", "lib32/x"),
        ("/li?/x", "lib/x"),
    ],
)
def test_glob_matches(glob: str, path: str) -> None:
    assert GlobSet([glob]).match(path.encode()) == glob


@pytest.mark.parametrize(
    ("glob", "path"),
    [
        ("/etc/shadow", "etc/shadow-"),
        ("/etc/shadow", "srv/etc/shadow"),
        ("/etc/shadow", "etc/shadow/x"),
        ("/etc", "etc/passwd"),
        ("/", "etc"),
        ("/usr/bin/**", "usr/binary"),
        ("/usr/bin/**", "usr/local/bin/x"),
        ("/home/*/.ssh/**", "home/a/b/.ssh/config"),
        ("/home/*/.ssh/**", "home/.ssh/config"),
        ("/a*b*c", "acb"),
        ("/ab*bc", "abc"),
        ("/?at", "at"),
        ("/x/*", "x"),
        ("/x/*", "x/y/z"),
        ("/**/a", "a/b"),
        ("/etc/*.d/x", "etc/cron.dx/x"),
        ("/bin/ls", "usr/local/bin/ls"),
    ],
)
def test_glob_does_not_match(glob: str, path: str) -> None:
    assert GlobSet([glob]).match(path.encode()) is None


def test_most_exact_glob_is_named() -> None:
    globs = GlobSet(["/**/shadow", "/etc/**", "/etc/shadow"])
    assert globs.match(b"etc/shadow") == "/etc/shadow"
    assert globs.match(b"etc/hosts") == "/etc/**"
    assert globs.match(b"srv/shadow") == "/**/shadow"


def test_empty_set_matches_nothing() -> None:
    assert GlobSet([]).match(b"") is None
    assert GlobSet([]).match(b"etc/shadow") is None


def test_bytes_that_are_no_text_match_by_bytes() -> None:
    assert GlobSet(["/srv/?"]).match(b"srv/\xff") == "/srv/?"
    assert GlobSet(["/srv/*"]).match(b"srv/a\nb") == "/srv/*"
    assert GlobSet(["/srv/ä"]).match("srv/ä".encode()) == "/srv/ä"


@pytest.mark.parametrize(
    ("glob", "remedy"),
    [
        ("", "/etc/shadow"),
        ("etc/passwd", "/etc/passwd"),
        ("*", "/*"),
        ("**/x", "/**/**/x"),
        ("/a//b", "plain path"),
        ("/a/", "plain path"),
        ("/a/./b", "plain path"),
        ("/a/../b", "plain path"),
        ("/a**", "whole segment"),
        ("/a/**b/c", "whole segment"),
        ("/a/***", "whole segment"),
        ("/a[bc]", "?"),
        ("/a{b,c}", "?"),
        ("/a\\*", "?"),
        ("/a\nb", "?"),
        ("/a\x00", "?"),
        ("/" + "a" * 600, "512"),
        ("/a" * 40, "32"),
    ],
)
def test_glob_outside_the_dialect_is_refused_with_a_remedy(glob: str, remedy: str) -> None:
    with pytest.raises(PolicyError) as caught:
        check_glob(glob)
    assert remedy in caught.value.remedy
    with pytest.raises(PolicyError):
        GlobSet([glob])


@pytest.mark.parametrize(
    ("glob", "path"),
    [
        ("/" + "a*" * 200 + "b", b"a" * 16_000),
        ("/" + "*a?" * 150 + "b", b"a" * 16_000),
        ("/" + "**/a/" * 15 + "b", b"a/" * 8_000 + b"c"),
        ("/**/" + "a*" * 100 + "b", b"/".join([b"a" * 250] * 64)),
    ],
    ids=["stars", "questions", "folders", "both"],
)
def test_hostile_path_and_glob_cost_little(glob: str, path: bytes) -> None:
    globs = GlobSet([glob])
    start = time.process_time()
    assert globs.match(path) is None
    assert time.process_time() - start < 1.0


def reference(glob: list[str], path: list[str]) -> bool:
    """The dialect's definition, written down without any thought of cost."""
    if not glob:
        return not path
    if glob[0] == "**":
        return any(reference(glob[1:], path[skip:]) for skip in range(len(path) + 1))
    if not path:
        return False
    piece = re.escape(glob[0]).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(piece, path[0]) is not None and reference(glob[1:], path[1:])


SEGMENTS = st.one_of(st.just("**"), st.text("ab*?", min_size=1, max_size=4))


@given(
    st.lists(
        SEGMENTS.filter(lambda part: part == "**" or "**" not in part), min_size=1, max_size=5
    ),
    st.lists(st.text("ab", min_size=1, max_size=4), max_size=6),
)
@example(["**", "a", "**", "b"], ["a", "a", "b", "a", "b"])
@example(["a*ab"], ["aab"])
def test_match_is_what_the_definition_says(glob: list[str], path: list[str]) -> None:
    found = GlobSet(["/" + "/".join(glob)]).match("/".join(path).encode())
    assert (found is not None) == reference(glob, path)


def test_merged_usr_has_one_spelling() -> None:
    assert canonical(b"bin/ls") == canonical(b"usr/bin/ls") == b"usr/bin/ls"
    assert canonical(b"binary") == b"binary"
    assert canonical(b"lib") == b"usr/lib"


@pytest.mark.parametrize(
    ("glob", "above"),
    [
        ("/etc/x", ["/etc"]),
        ("/home/*/.ssh/keys", ["/home/*/.ssh", "/home/*", "/home"]),
        ("/etc/x/**", ["/etc/x", "/etc"]),
        ("/etc", []),
        ("/", []),
    ],
)
def test_folders_above_a_glob(glob: str, above: list[str]) -> None:
    assert parents(glob) == above
