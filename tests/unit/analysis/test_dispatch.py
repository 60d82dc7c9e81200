"""Who is given which file, and what a whole layer states."""

import pytest
from tests.unit.analysis.layers import FILE, HARDLINK, add, names, read

from layerproof.analysis.current import CURRENT
from layerproof.analysis.dispatch import Dispatch, LayerResult
from layerproof.analysis.interface import Collector, Facts, Interest
from layerproof.analysis.registry import ANALYSERS, analysers_key, dispatch
from layerproof.model.entry import DIRECTORY, SYMLINK, WHITEOUT, EntryTable

STATUS = b"var/lib/dpkg/status"
BASH = b"Package: bash\nVersion: 5.2\nStatus: install ok installed\n"
FLASK = b"Name: flask\nVersion: 3.0\n\n"
SITE = b"app/lib/site-packages/flask-3.0.dist-info/METADATA"


class Recording:
    """An analyser that keeps what it is given."""

    id = "recording"
    version = 3

    def __init__(self, interest: Interest) -> None:
        self.interest = interest
        self.seen: list[tuple[bytes, int, bytes]] = []

    def start(self) -> Collector:
        return self

    def file(self, path: bytes, index: int, data: bytes) -> None:
        self.seen.append((path, index, data))

    def finish(self, entries: EntryTable) -> Facts:
        return Facts()


def skips(result: LayerResult) -> set[tuple[str, bytes]]:
    return {(name, path) for name, path, _ in result.skipped}


@pytest.mark.parametrize(
    ("interest", "path"),
    [
        (Interest(paths=frozenset((b"etc/x",))), b"etc/x"),
        (Interest(names=frozenset((b"x",))), b"x"),
        (Interest(names=frozenset((b"x",))), b"a/b/x"),
        (Interest(folders=frozenset((b"a/b",))), b"a/b/x"),
        (Interest(suffixes=(b".egg-info",)), b"a/b.egg-info"),
        (Interest(suffixes=(b"x", b".x")), b"a.x"),
    ],
)
def test_whole_file_reaches_who_asked_for_it_once(interest: Interest, path: bytes) -> None:
    analyser = Recording(interest)
    read(Dispatch((analyser,)), (b"other/file", FILE, b"no"), (path, FILE, b"yes" * 1000))
    assert analyser.seen == [(path, 1, b"yes" * 1000)]


def test_head_reaches_who_asked_for_its_magic() -> None:
    analyser = Recording(Interest(magics=frozenset((b"#!",))))
    read(Dispatch((analyser,)), (b"a", FILE, b"#!/bin/sh\n" + b"x" * 999), (b"b", FILE, b"#"))
    assert analyser.seen == [(b"a", 0, (b"#!/bin/sh\n" + b"x" * 999)[:512])]


def test_two_analysers_share_a_file_by_different_interests() -> None:
    first = Recording(Interest(folders=frozenset((b"a",))))
    second = Recording(Interest(names=frozenset((b"x",)), accepts=lambda path: path != b"b/x"))
    table = Dispatch((first, second))
    assert table.match(b"a/x") == (0, 1)
    assert table.match(b"a/y") == (0,)
    assert table.match(b"b/x") == ()
    assert table.match(b"c/x") == (1,)


def test_no_analysers_want_nothing() -> None:
    assert Dispatch(()).match(b"var/lib/dpkg/status") == ()
    assert read(Dispatch(()), (STATUS, FILE, BASH)) == LayerResult()


def test_real_tables_name_the_known_places() -> None:
    table = dispatch()
    wanted = {
        path: {table.analysers[number].id for number in table.match(path)}
        for path in (STATUS, b"var/lib/dpkg/status.d/bash", b"etc/os-release", SITE, b"etc/passwd")
    }
    assert wanted == {
        STATUS: {"dpkg", "manifests"},
        b"var/lib/dpkg/status.d/bash": {"dpkg"},
        b"etc/os-release": {"apk", "dpkg", "os-release", "rpm"},
        SITE: {"python"},
        b"etc/passwd": set(),
    }
    assert table.magics[b"#!"] == table.magics[b"\x7fE"]


def test_everything_of_a_layer_is_merged_and_sorted() -> None:
    tar = (
        (STATUS, FILE, BASH),
        (b"etc/os-release", FILE, b"ID=debian\n"),
        (SITE, FILE, FLASK),
        (b"app/node_modules/a/package.json", FILE, b"{"),
        (b"bin/x", FILE, b"#!/bin/sh\n"),
    )
    result = read(dispatch(), *tar)
    assert names(result.packages) == [("bash", "5.2"), ("flask", "3.0")]
    assert result.packages == tuple(sorted(result.packages))
    assert result.package_files == tuple(sorted((STATUS, SITE, tar[3][0])))
    assert set(result.facts) == {"entries", "os-release", "programs"}
    assert result.skipped == (("node", tar[3][0], "not a JSON object"),)


def test_tar_order_does_not_matter_for_packages() -> None:
    tar = ((STATUS, FILE, BASH), (b"etc/os-release", FILE, b"ID=debian\n"), (SITE, FILE, FLASK))
    first, second = read(dispatch(), *tar), read(dispatch(), *reversed(tar))
    assert first.packages == second.packages
    assert first.package_files == second.package_files


def test_later_file_of_one_path_wins() -> None:
    tar = ((STATUS, FILE, BASH), (STATUS, FILE, BASH.replace(b"5.2", b"6")))
    assert names(read(dispatch(), *tar).packages) == [("bash", "6")]


@pytest.mark.parametrize("kind", [SYMLINK, DIRECTORY, HARDLINK])
def test_database_that_something_unread_replaces_in_the_same_layer_lists_nothing(kind: int) -> None:
    result = read(dispatch(), (STATUS, FILE, BASH), (STATUS, kind, b"tmp/decoy"))
    assert result.packages == ()
    assert result.package_files == (STATUS,)
    assert ("dpkg", STATUS) in skips(result)


def test_whiteout_of_the_same_path_hides_only_lower_layers() -> None:
    result = read(dispatch(), (STATUS, FILE, BASH), (STATUS, WHITEOUT, b""))
    assert names(result.packages) == [("bash", "5.2")]
    assert result.skipped == ()


def test_hard_linked_metadata_repeats_the_package() -> None:
    cache = b"root/.cache/uv/archive-v0/abc/flask-3.0.dist-info/METADATA"
    result = read(dispatch(), (cache, FILE, FLASK), (SITE, HARDLINK, cache))
    assert [package.path for package in result.packages] == sorted((cache, SITE))
    assert result.package_files == tuple(sorted((cache, SITE)))
    assert result.skipped == ()


def test_hard_link_to_a_hard_link_repeats_too() -> None:
    paths = [b"%d/flask-3.0.dist-info/METADATA" % n for n in range(3)]
    tar = ((paths[0], FILE, FLASK), (paths[1], HARDLINK, paths[0]), (paths[2], HARDLINK, paths[1]))
    assert [package.path for package in read(dispatch(), *tar).packages] == paths


@pytest.mark.parametrize("decoy", [b"tmp/decoy", b"a.dist-info/METADATA", b"lower/layer"])
def test_database_hard_linked_to_what_was_not_read_is_reported(decoy: bytes) -> None:
    tar = ((b"tmp/decoy", FILE, BASH), (b"a.dist-info/METADATA", FILE, FLASK))
    result = read(dispatch(), *tar, (STATUS, HARDLINK, decoy))
    assert ("dpkg", STATUS) in skips(result)
    assert STATUS in result.package_files
    assert all(package.path != STATUS for package in result.packages)


def test_hard_linked_os_release_is_no_report() -> None:
    release = (b"usr/lib/os-release", FILE, b"ID=debian\n")
    result = read(dispatch(), release, (b"etc/os-release", HARDLINK, b"usr/lib/os-release"))
    assert result.skipped == ()
    assert result.package_files == ()


def test_file_after_a_hard_link_of_its_path_wins() -> None:
    other = FLASK.replace(b"3.0", b"4.0")
    tar = ((b"x.dist-info/METADATA", FILE, FLASK), (SITE, HARDLINK, b"x.dist-info/METADATA"))
    result = read(dispatch(), *tar, (SITE, FILE, other))
    assert names(result.packages) == [("flask", "3.0"), ("flask", "4.0")]


def test_file_too_large_to_keep_is_reported_and_lists_nothing() -> None:
    table = dispatch()
    analysis = table.start()
    analysis.file(table.match(STATUS), STATUS, 0, BASH)
    analysis.skip(table.match(STATUS), STATUS, "larger than 64 MiB")
    analysis.skip((), b"bin/x", "no one wanted it")
    result = analysis.finish(EntryTable())
    assert result.packages == ()
    assert result.package_files == (STATUS,)
    assert result.skipped == (
        ("dpkg", STATUS, "larger than 64 MiB"),
        ("manifests", STATUS, "larger than 64 MiB"),
    )


def test_hard_link_to_a_file_too_large_to_keep_is_reported_too() -> None:
    table, entries = dispatch(), EntryTable()
    analysis = table.start()
    target = b"x.dist-info/METADATA"
    add(entries, target)
    add(entries, SITE, HARDLINK, link=target)
    analysis.skip(table.match(target), target, "larger than 64 MiB")
    result = analysis.finish(entries)
    assert skips(result) == {("python", target), ("python", SITE)}
    assert result.package_files == tuple(sorted((target, SITE)))


def test_program_written_twice_is_no_package_file() -> None:
    tar = ((b"bin/x", FILE, b"#!/bin/sh\n"), (b"bin/x", SYMLINK, b"y"))
    result = read(dispatch(), *tar)
    assert result.package_files == ()
    assert result.skipped == ()


def test_endless_reports_are_counted() -> None:
    tar = [(b"node_modules/p%d/package.json" % n, FILE, b"{") for n in range(1_500)]
    result = read(dispatch(), *tar)
    assert len(result.skipped) == 1_001
    assert ("node", b"", "500 more were skipped") in result.skipped
    assert len(result.package_files) == 1_500


def test_current_names_the_analysers_of_today() -> None:
    assert analysers_key(ANALYSERS) == CURRENT
