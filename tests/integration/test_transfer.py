"""Export and import: between databases, again and again, and from files that lie."""

import io
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest
from tests.contract.index_examples import (
    ANALYSERS,
    MONDAY,
    NEWER,
    TUESDAY,
    WEDNESDAY,
    blob,
    chains,
    contents,
    diff,
    event,
    image,
    saved,
    trust,
    verdict_record,
    withdrawal,
)
from tests.integration.test_migrations import Sqlite, filled, older
from tests.postgres import fresh_database

from layerproof.cli.main import run
from layerproof.engine.ports import Index
from layerproof.engine.transfer import Copied, check, copy
from layerproof.errors import DigestMismatchError
from layerproof.model.access import AccessToken, Role
from layerproof.model.digest import ChainId
from layerproof.model.event import EventKind
from layerproof.model.retention import Retention
from layerproof.store.ledger import SqlLedger
from layerproof.store.postgresql import open_postgresql
from layerproof.store.sqlite import SqliteExecutor
from layerproof.store.sqlite_index import open_sqlite
from layerproof.store.sqlite_sql import REVISIONS
from layerproof.testing.index import MemoryIndex

Make = Callable[[Path], Index]


def sqlite(path: Path) -> Index:
    return open_sqlite(path)


def postgresql(_: Path) -> Index:
    return open_postgresql(fresh_database())


def memory(_: Path) -> Index:
    return MemoryIndex()


PAIRS = [(sqlite, sqlite), (sqlite, postgresql), (postgresql, sqlite), (postgresql, postgresql),
         (memory, memory)]  # fmt: skip


@pytest.fixture(params=PAIRS, ids=lambda pair: f"{pair[0].__name__}-{pair[1].__name__}")
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Index, Index]]:
    source, target = (make(tmp_path / f"{n}.db") for n, make in enumerate(request.param))
    yield source, target
    source.close()
    target.close()


def fill(index: Index) -> None:
    """Images with shared layers, several names and views, and everybody's word."""
    for letter in "abc":
        index.put_contents(contents(letter, diff_id=diff(letter)), blob(letter, letter))
    for names, at in (("ab", MONDAY), ("ac", TUESDAY)):
        index.put_image(image(names), chains(image(names)), at)
    index.put_image(saved("ab"), [], TUESDAY)
    index.put_image(image("ab", "docker://h/mirror:1", notes=()), [], WEDNESDAY, MONDAY)
    index.put_trust(trust(image("ab"), "t-1"))
    index.put_trust(trust(image("ac"), "t-2", TUESDAY, revoked_by="bob", revoked_at=WEDNESDAY))
    index.put_withdrawals([withdrawal(), withdrawal("w-2", withdrawn_at=TUESDAY)])
    index.put_events([event("a"), event("b", kind=EventKind.PULL, account="bob", at=TUESDAY)])
    index.put_events([event("gone", account="carol", at=MONDAY - timedelta(days=99))])
    index.prune(Retention(events=MONDAY))


def all_of(index: Index) -> list[object]:
    configs = [image(names).config_digest for names in ("ab", "ac")]
    tops = [layer.chain_id for names in ("ab", "ac") for layer in image(names).layers]
    return [
        list(index.images()),
        [index.sightings_of(config) for config in configs],
        [index.images_by_name(image().reference), index.image_by_config(configs[0])],
        [index.contents(diff(letter)) for letter in "abc"],
        index.chains(tops),
        index.blobs([blob(letter).digest for letter in "abc"]),
    ]


def word_of(index: Index) -> list[object]:
    tops = [layer.chain_id for names in ("ab", "ac") for layer in image(names).layers]
    return [
        index.trust_records(),
        index.withdrawals(),
        list(index.events()),
        index.accounts(),
        index.activity_of_layers(tops),
        index.pushers_of_layers(tops),
    ]


LATER = WEDNESDAY + timedelta(days=9)


def all_copied(source: Index, target: Index, *, word: bool = True) -> Copied:
    return copy(source, target, source.images(), analysers=ANALYSERS, word=word, now=LATER)


def test_a_name_from_the_future_does_not_stand_against_what_is_seen_after_the_import(
    pair: tuple[Index, Index],
) -> None:
    source, target = pair
    name = "docker://h/app:latest"
    forged, real = image("ab", name), image("ac", name)
    for letter in "abc":
        for index in pair:
            index.put_contents(contents(letter, diff_id=diff(letter)), blob(letter, letter))
    source.put_image(forged, chains(forged), MONDAY, LATER + timedelta(days=36_500))
    all_copied(source, target, word=False)
    seen = LATER + timedelta(minutes=1)
    target.put_image(real, chains(real), seen, seen)
    assert target.images_by_name(name)[0].image.config_digest == real.config_digest


def test_everything_arrives_as_it_was(pair: tuple[Index, Index]) -> None:
    source, target = pair
    fill(source)
    check(source, source.images(), word=True)
    assert all_copied(source, target) == Copied(2, 3, 2, 2, 2)
    assert all_of(target) == all_of(source)
    assert word_of(target) == word_of(source)
    assert [account.account for account in target.accounts()] == ["alice", "bob", "carol"]


def test_done_twice_it_changes_nothing_more(pair: tuple[Index, Index]) -> None:
    source, target = pair
    fill(source)
    all_copied(source, target)
    before = all_of(target), word_of(target), target.state()
    assert all_copied(source, target) == Copied(2)
    assert (all_of(target), word_of(target), target.state()) == before
    # And back again: the source knows all of it.
    state = source.state()
    assert all_copied(target, source) == Copied(2)
    assert source.state() == state


def test_without_the_word_nobody_is_believed(pair: tuple[Index, Index]) -> None:
    source, target = pair
    fill(source)
    assert all_copied(source, target, word=False) == Copied(2, 3)
    assert all_of(target) == all_of(source)
    assert word_of(target) == [[], [], [], [], {}, {}]


def test_what_the_target_knows_better_stays(pair: tuple[Index, Index]) -> None:
    source, target = pair
    fill(source)
    newer = image("ab", notes=("seen here",))
    target.put_contents(contents("a", analysers=NEWER), None)
    target.put_image(newer, chains(newer, analysers=NEWER), WEDNESDAY)
    ours = replace(trust(image("ab"), "t-1"), reason="ours", revoked_by="eve", revoked_at=MONDAY)
    target.put_trust(ours)
    copy(source, target, source.images(), analysers=NEWER, word=True, now=LATER)
    assert target.known_contents([diff("a")], NEWER)
    assert target.known_chains([newer.layers[0].chain_id], NEWER)
    assert target.images_by_name(newer.reference)[0].image == newer
    known = target.image_by_config(newer.config_digest)
    assert known is not None
    assert known.indexed_at == WEDNESDAY
    assert [record for record in target.trust_records() if record.id == "t-1"] == [ours]


def test_layers_that_this_versions_analysers_read_replace_older_ones(
    pair: tuple[Index, Index],
) -> None:
    """Behind an air gap nobody else can read them again after an upgrade."""
    source, target = pair
    of = image("ab")
    for index, analysers in ((target, ANALYSERS), (source, NEWER)):
        for letter in "ab":
            index.put_contents(contents(letter, diff_id=diff(letter), analysers=analysers), None)
        index.put_image(of, chains(of, analysers=analysers), MONDAY)
    copied = copy(source, target, source.images(), analysers=NEWER, word=False, now=LATER)
    assert copied == Copied(1, 2)
    every = [layer.chain_id for layer in of.layers]
    assert target.known_contents([diff("a"), diff("b")], NEWER) == {diff("a"), diff("b")}
    assert target.known_chains(every, NEWER) == set(every)


def test_a_revocation_is_taken_over_and_its_absence_is_not(pair: tuple[Index, Index]) -> None:
    source, target = pair
    fill(source)
    all_copied(source, target)
    revoked = replace(trust(image("ab"), "t-1"), revoked_by="bob", revoked_at=TUESDAY)
    source.put_trust(revoked)
    source.put_trust(replace(trust(image("ac"), "t-2", TUESDAY)))  # as if it had never been
    assert all_copied(source, target).trust == 1
    assert {r.id: r.revoked_at for r in target.trust_records()} == {
        "t-1": TUESDAY,
        "t-2": WEDNESDAY,
    }


def test_a_tag_names_the_same_image_after_reports_that_came_late(
    pair: tuple[Index, Index],
) -> None:
    source, target = pair
    old, new = image("a"), image("b")
    source.put_image(new, [], TUESDAY, TUESDAY)
    source.put_image(old, [], WEDNESDAY, MONDAY)
    all_copied(source, target)
    assert [record.image for record in target.images_by_name(new.reference)] == [new, old]


def test_a_layer_at_a_place_where_it_is_not_is_refused_before_anything_is_written(
    pair: tuple[Index, Index],
) -> None:
    source, target = pair
    fill(source)
    of = image("d", "docker://h/evil:1")
    moved = replace(of.layers[0], chain_id=image("ab").layers[1].chain_id)
    source.put_image(replace(of, layers=(moved,)), [], MONDAY)
    with pytest.raises(DigestMismatchError, match="another ChainID"):
        check(source, source.images(), word=False)
    with pytest.raises(DigestMismatchError, match="another ChainID"):
        all_copied(source, target)


def test_a_blob_that_holds_something_else_is_refused(pair: tuple[Index, Index]) -> None:
    source, _ = pair
    fill(source)
    source.put_blob(replace(blob("z"), diff_id=diff("else")))
    source.put_image(image("z", "docker://h/evil:1"), [], MONDAY)
    with pytest.raises(DigestMismatchError, match="a blob other contents"):
        check(source, source.images(), word=False)


# --- as people use it --------------------------------------------------------------------------


@dataclass
class Ran:
    exit_code: int
    output: str


def layerproof(*arguments: object, index: Path) -> Ran:
    said = io.StringIO()
    with redirect_stdout(said), redirect_stderr(said):
        code = run([*map(str, arguments), "--index", str(index)])
    return Ran(code, said.getvalue())


def indexed(path: Path) -> Path:
    index = open_sqlite(path)
    fill(index)
    index.close()
    return path


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    file = tmp_path / "air gap.db"
    done = layerproof("index", "export", "--with-word", file, index=indexed(tmp_path / "from.db"))
    assert done.exit_code == 0, done.output
    return file


def rows(path: Path) -> list[tuple[object, ...]]:
    """All that an index holds."""
    connection = sqlite3.connect(path)
    names = [n for (n,) in connection.execute("SELECT name FROM sqlite_master WHERE type='table'")]
    found = [(name, *row) for name in names for row in connection.execute(f"SELECT * FROM {name}")]
    connection.close()
    return found


def test_an_export_is_one_file_that_is_imported_whole(tmp_path: Path, exported: Path) -> None:
    assert sorted(file.name for file in tmp_path.glob("air*")) == ["air gap.db"]
    assert exported.stat().st_mode & 0o077 == 0
    data = exported.read_bytes()
    exported.chmod(0o400)
    done = layerproof("index", "import", "--with-word", exported, index=tmp_path / "to.db")
    assert done.exit_code == 0, done.output
    assert "2 images, 3 new layers, 2 trust records, 2 withdrawals, 2 events" in done.output
    assert exported.read_bytes() == data
    to, of = open_sqlite(tmp_path / "to.db"), open_sqlite(tmp_path / "from.db")
    assert all_of(to) == all_of(of)
    assert word_of(to) == word_of(of)
    to.close()
    of.close()


def test_an_export_holds_no_token_no_audit_and_no_verdict(tmp_path: Path) -> None:
    path = indexed(tmp_path / "from.db")
    digest = b"\xfa\xce" * 16
    executor = SqliteExecutor(path)
    SqlLedger(executor).put_token(
        AccessToken("id", "TOKENNAME", Role.ADMIN, digest, "root", MONDAY, TUESDAY)
    )
    executor.close()
    index = open_sqlite(path)
    index.put_verdict(verdict_record())
    index.close()
    file = tmp_path / "export.db"
    assert layerproof("index", "export", "--with-word", file, index=path).exit_code == 0
    data = file.read_bytes()
    assert digest in path.read_bytes()
    assert digest not in data
    assert b"TOKENNAME" not in data
    kept = {row[0] for row in rows(file)}
    assert not kept & {"access_token", "audit", "verdict", "job", "policy_revision", "cached"}


def test_an_export_that_fails_leaves_no_file(tmp_path: Path) -> None:
    path = indexed(tmp_path / "from.db")
    file = tmp_path / "export.db"
    done = layerproof("index", "export", "--image", "docker://h/unknown:1", file, index=path)
    assert done.exit_code == 2
    assert not list(tmp_path.glob("export*"))
    file.write_bytes(b"mine")
    assert layerproof("index", "export", file, index=path).exit_code == 2
    assert file.read_bytes() == b"mine"


def cut(file: Path) -> None:
    with file.open("r+b") as data:
        data.truncate(file.stat().st_size // 2)


def cut_to_a_page(file: Path) -> None:
    with file.open("r+b") as data:
        data.truncate(16384)


def emptied(file: Path) -> None:
    file.write_bytes(b"")


def another(file: Path) -> None:
    file.write_bytes(b"PK\x03\x04" + bytes(5000))


def another_database(file: Path) -> None:
    file.unlink()
    execute(file, "CREATE TABLE t (x)")


def scribbled(file: Path) -> None:
    data = bytearray(file.read_bytes())
    for start in range(16384 + 200, len(data), 3000):
        data[start : start + 40] = b"\xff" * 40
    file.write_bytes(data)


def newer(file: Path) -> None:
    execute(file, "UPDATE alembic_version SET version_num = '9999'")


def no_version(file: Path) -> None:
    execute(file, "DELETE FROM alembic_version")


def a_view(file: Path) -> None:
    execute(
        file,
        "ALTER TABLE blob RENAME TO b2",
        "CREATE VIEW blob AS WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x FROM r)"
        " SELECT x AS digest, x AS diff_id, x AS size, x AS media_type FROM r",
    )


def a_trigger(file: Path) -> None:
    execute(
        file,
        "CREATE TRIGGER t AFTER INSERT ON cached BEGIN DELETE FROM trust; END",
    )


def a_virtual_table(file: Path) -> None:
    execute(file, "DROP TABLE cached", "CREATE VIRTUAL TABLE cached USING fts5(key, value)")


def moved_layer(file: Path) -> None:
    execute(file, "UPDATE layer SET chain_id = randomblob(32) WHERE id = 2")


def odd_digest(file: Path) -> None:
    execute(file, "UPDATE layer SET diff_id = x'00' WHERE id = 3")


def odd_document(file: Path) -> None:
    execute(file, "UPDATE contents SET facts = x'ff00'")


def odd_types(file: Path) -> None:
    execute(file, "UPDATE image SET indexed_at = 'now'")


def odd_word(file: Path) -> None:
    execute(file, "UPDATE event SET kind = 'nonsense' WHERE identity = 'b'")


def execute(file: Path, *statements: str) -> None:
    connection = sqlite3.connect(file, isolation_level=None)
    for statement in statements:
        connection.execute(statement)
    connection.close()
    for end in ("-wal", "-shm"):
        file.with_name(file.name + end).unlink(missing_ok=True)


BAD = [cut, cut_to_a_page, emptied, another, another_database, scribbled, newer, no_version,
       a_view, a_trigger, a_virtual_table, moved_layer, odd_digest, odd_document, odd_types,
       odd_word]  # fmt: skip


@pytest.mark.parametrize("spoil", BAD, ids=lambda spoil: spoil.__name__)
def test_a_file_that_lies_or_is_broken_is_refused_and_the_index_stays_as_it_was(
    tmp_path: Path, exported: Path, spoil: Callable[[Path], None]
) -> None:
    path = tmp_path / "to.db"
    index = open_sqlite(path)
    index.put_image(image("q", "docker://h/ours:1"), [], MONDAY)
    index.close()
    before = rows(path)
    spoil(exported)
    done = layerproof("index", "import", "--with-word", exported, index=path)
    assert done.exit_code == 3, done.output
    assert "Traceback" not in done.output
    assert len(done.output.strip().splitlines()) == 2, done.output  # what, where, and a remedy
    if spoil in (newer, no_version):
        assert "newer Layerproof" in done.output
    assert rows(path) == before


@pytest.mark.parametrize("revision", REVISIONS[:-1])
def test_an_export_of_an_older_version_is_imported_and_not_touched(
    tmp_path: Path, revision: str
) -> None:
    (tmp_path / "old").mkdir()
    old = Sqlite(tmp_path / "old")
    older(old, revision, filled(tmp_path))
    execute(old.path, "PRAGMA wal_checkpoint(TRUNCATE)")
    data = old.path.read_bytes()
    done = layerproof("index", "import", "--with-word", old.path, index=tmp_path / "to.db")
    assert done.exit_code == 0, done.output
    assert old.path.read_bytes() == data
    to, today = open_sqlite(tmp_path / "to.db"), open_sqlite(tmp_path / "today.db")
    assert [record.image for record in to.images()] == [record.image for record in today.images()]
    events = {event.identity: event for event in today.events() if revision != "0001"}
    assert {event.identity: event for event in to.events()} == events
    to.close()
    today.close()


def test_an_index_that_is_in_use_is_not_imported(tmp_path: Path, exported: Path) -> None:
    index = open_sqlite(exported)
    index.put_cached("a", b"b")
    done = layerproof("index", "import", exported, index=tmp_path / "to.db")
    index.close()
    assert done.exit_code == 2
    assert "in use" in done.output


def test_a_big_index_is_exported_in_flat_memory(tmp_path: Path) -> None:
    """Ten times the layers, much the same memory."""
    peaks = []
    for count in (60, 600):
        path = tmp_path / f"{count}.db"
        index = open_sqlite(path)
        for n in range(count):
            names = f"a{n}"
            data = contents("", diff_id=diff(str(n)), entries=os.urandom(100_000))
            index.put_contents(data, None)
            of = image(reference=f"docker://h/app:{n % 7}", config_digest=diff(names),
                       manifest_digest=diff(f"m{n}"))  # fmt: skip
            layer = replace(of.layers[0], diff_id=diff(str(n)), chain_id=ChainId(diff(str(n))))
            index.put_image(replace(of, layers=(layer,)), [], MONDAY)
        index.close()
        peaks.append(peak_of_export(path, tmp_path / f"{count}-out.db"))
        shutil.rmtree(path, ignore_errors=True)
    assert peaks[1] < peaks[0] + 20_000, peaks  # kilobytes; the layers are 60,000


def peak_of_export(path: Path, file: Path) -> int:
    program = (
        "import resource, sys; from layerproof.cli.main import run\n"
        "assert run(sys.argv[1:]) == 0\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "index", "export", "--quiet", str(file)],
        env={**os.environ, "LAYERPROOF_INDEX": str(path), "PYTHONPATH": "src"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return int(done.stdout.split()[-1])
