"""The index file: made for its owner only, and every trouble with it has a name and a remedy."""

import os
import sqlite3
import stat
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.contract.index_examples import ANALYSERS, MONDAY, blob, chains, contents, diff, image

from layerproof.errors import IndexUnavailableError, IndexVersionError
from layerproof.store.sqlite import SqliteExecutor
from layerproof.store.sqlite_index import open_sqlite


def made(path: Path) -> Path:
    """An index with one layer."""
    index = open_sqlite(path)
    index.put_contents(contents(), blob())
    index.close()
    return path


def refusal(use: Callable[[], object]) -> IndexUnavailableError:
    with pytest.raises(IndexUnavailableError) as caught:
        use()
    assert caught.value.where
    assert caught.value.remedy
    return caught.value


def alter(path: Path, *statements: str) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    for statement in statements:
        connection.execute(statement)
    connection.close()


# --- making it ---------------------------------------------------------------------------------


def test_opening_makes_nothing_before_the_first_use(tmp_path: Path) -> None:
    open_sqlite(tmp_path / "data" / "index.db").close()
    assert list(tmp_path.iterdir()) == []


def test_file_and_folders_are_for_the_owner_only(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        index = open_sqlite(tmp_path / "share" / "layerproof" / "index.db")
        index.put_cached("a", b"b")
        files = list((tmp_path / "share" / "layerproof").iterdir())
        assert {file.name for file in files} == {"index.db", "index.db-wal", "index.db-shm"}
        assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
        for folder in (tmp_path / "share", tmp_path / "share" / "layerproof"):
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    finally:
        os.umask(old)
    index.close()


def test_a_file_name_may_hold_anything(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"a?b#c%20d \xff.db")
    made(path)
    assert path.exists()
    index = open_sqlite(path)
    assert index.contents(diff("a")) == contents()
    index.close()


def test_a_relative_path_stays_the_same_file_when_the_folder_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    index = open_sqlite(Path("index.db"))
    index.put_cached("a", b"b")
    monkeypatch.chdir(tmp_path / "elsewhere")
    index.close()
    assert index.cached("a") == b"b"


def test_an_empty_file_becomes_an_index(tmp_path: Path) -> None:
    (tmp_path / "index.db").touch()
    assert made(tmp_path / "index.db").stat().st_size > 0


def test_settings_of_a_connection(tmp_path: Path) -> None:
    executor = SqliteExecutor(tmp_path / "index.db")
    with executor.read():
        connection = executor._connection
        assert connection is not None
        settings = {
            name: connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "foreign_keys", "synchronous", "application_id")
        }
    executor.close()
    assert settings == {
        "journal_mode": "wal",
        "foreign_keys": 1,
        "synchronous": 1,
        "application_id": int.from_bytes(b"LPrf", "big"),
    }


def test_a_replaced_file_is_opened_anew(tmp_path: Path) -> None:
    index = open_sqlite(tmp_path / "index.db")
    index.put_cached("which", b"first")
    other = open_sqlite(tmp_path / "other.db")
    other.put_cached("which", b"second")
    other.close()
    os.replace(tmp_path / "other.db", tmp_path / "index.db")
    for leftover in ("index.db-wal", "index.db-shm"):
        (tmp_path / leftover).unlink()
    assert index.cached("which") == b"second"
    index.close()


# --- what is refused ---------------------------------------------------------------------------


def test_a_folder_is_refused(tmp_path: Path) -> None:
    assert "folder" in refusal(lambda: open_sqlite(tmp_path).cached("a")).message


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    error = refusal(lambda: open_sqlite(tmp_path / "file" / "index.db").cached("a"))
    assert "created" in error.message


def test_a_file_of_another_kind_is_refused_and_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(b"not a database, but long enough to look at " * 50)
    before = path.read_bytes()
    error = refusal(lambda: open_sqlite(path).put_cached("a", b"b"))
    assert "not a Layerproof index" in error.message
    assert path.read_bytes() == before


def test_a_database_of_another_program_is_refused_and_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    alter(path, "CREATE TABLE theirs (x)")
    before = path.read_bytes()
    error = refusal(lambda: open_sqlite(path).put_cached("a", b"b"))
    assert "not a Layerproof index" in error.message
    assert path.read_bytes() == before


def test_an_index_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    path = made(tmp_path / "index.db")
    alter(path, "UPDATE alembic_version SET version_num = '9999'")
    error = refusal(lambda: open_sqlite(path).cached("a"))
    assert isinstance(error, IndexVersionError)
    assert "9999" in error.message


@pytest.mark.parametrize("value", [b"", b"\xff", b"x\x9cgarbage", b"[[]]"])
def test_a_damaged_row_is_named_not_guessed(tmp_path: Path, value: bytes) -> None:
    path = made(tmp_path / "index.db")
    index = open_sqlite(path)
    index.put_image(image(), chains(image()), MONDAY)
    index.close()
    connection = sqlite3.connect(path)
    for table, column in (
        ("contents", "skipped"),
        ("contents", "facts"),
        ("contents", "package_files"),
        ("layer_change", "counts"),
        ("layer_change", "package_changes"),
        ("image", "config"),
        ("image_view", "document"),
    ):
        connection.execute(f"UPDATE {table} SET {column} = ?", (value,))
    connection.commit()
    connection.close()
    uses: list[Callable[[], object]] = [
        lambda: index.contents_summaries([diff("a")]),
        lambda: index.package_lists([diff("a")]),
        lambda: index.chains([image().layers[0].chain_id]),
        lambda: list(index.images()),
    ]
    if value != b"[[]]":  # any JSON value is a fact
        uses.append(lambda: index.layer_facts([diff("a")]))
    for use in uses:
        assert "damaged" in refusal(use).message
    index.close()


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    path = made(tmp_path / "index.db")
    with path.open("r+b") as file:
        file.seek(20_000)
        file.write(b"\xa5" * (path.stat().st_size - 20_000))
    index = open_sqlite(path)
    assert "damaged" in refusal(lambda: index.contents(diff("a"))).message
    index.close()


def test_a_damaged_revision_is_not_taken_for_a_newer_one(tmp_path: Path) -> None:
    path = made(tmp_path / "index.db")
    alter(
        path,
        "DROP TABLE alembic_version",
        "CREATE TABLE alembic_version (version_num BLOB)",
        "INSERT INTO alembic_version VALUES (NULL)",
    )
    index = open_sqlite(path)
    assert "damaged" in refusal(lambda: index.contents(diff("a"))).message
    index.close()


def test_a_full_disk_leaves_the_index_as_it_was(tmp_path: Path) -> None:
    path = made(tmp_path / "index.db")
    executor = SqliteExecutor(path)
    with executor.read():
        assert executor._connection is not None
        pages = executor._connection.execute("PRAGMA page_count").fetchone()[0]
        executor._connection.execute(f"PRAGMA max_page_count={pages}")
    from layerproof.store.index import SqlIndex

    index = SqlIndex(executor)
    big = contents("b", entries=bytes(1 << 20))
    assert "full" in refusal(lambda: index.put_contents(big, blob("b", "b"))).message
    assert index.known_contents([diff("a"), diff("b")], ANALYSERS) == {diff("a")}
    assert index.blobs([blob("b", "b").digest]) == {}
    index.close()


def test_an_index_that_stays_locked_is_refused(tmp_path: Path) -> None:
    path = made(tmp_path / "index.db")
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    index = open_sqlite(path, busy_seconds=0.05)
    assert "locked" in refusal(lambda: index.put_cached("a", b"b")).message
    assert index.contents(diff("a")) == contents()  # readers do not wait
    holder.execute("ROLLBACK")
    index.put_cached("a", b"b")
    index.close()
    holder.close()


def test_a_value_beyond_the_databases_limit_is_refused(tmp_path: Path) -> None:
    executor = SqliteExecutor(tmp_path / "index.db")
    with executor.read():
        assert executor._connection is not None
        executor._connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 1000)
    from layerproof.store.index import SqlIndex

    refusal(lambda: SqlIndex(executor).put_cached("a", bytes(2000)))
    executor.close()


def test_an_error_inside_a_transaction_undoes_it(tmp_path: Path) -> None:
    executor = SqliteExecutor(tmp_path / "index.db")

    def interrupted() -> None:
        with executor.write() as session:
            session.run("put_cached", key="a", value=b"b")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    with executor.read() as session:
        assert session.rows("cached", key="a") == []
    executor.close()


# --- only reading ------------------------------------------------------------------------------


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that other users may enter (pytest's own may not be entered)."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder
        folder.chmod(0o755)


def make_read_only(folder: Path) -> None:
    for file in folder.iterdir():
        file.chmod(0o444)
    folder.chmod(0o555)


def as_nobody(check: Callable[[], None]) -> None:
    """Run `check` in a child that has no special rights, whoever runs the tests."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
            check()
            status = 0
        except BaseException:  # noqa: BLE001  because the parent sees the status only
            traceback.print_exc()
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0


def test_an_index_in_a_read_only_folder_can_be_read(folder: Path) -> None:
    path = made(folder / "index.db")

    def check() -> None:
        index = open_sqlite(path)
        assert index.contents(diff("a")) == contents()
        assert "can only be read" in refusal(lambda: index.put_cached("a", b"b")).message
        assert index.contents(diff("a")) == contents()

    make_read_only(folder)
    as_nobody(check)


def test_a_read_only_index_that_somebody_writes_is_read_with_its_log(folder: Path) -> None:
    path = made(folder / "index.db")
    # Not an index of ours: that would be closed before the fork, and its log be gone.
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("INSERT INTO cached VALUES ('a', x'62')")

    def check() -> None:
        index = open_sqlite(path)
        assert index.cached("a") == b"b"
        assert "can only be read" in refusal(lambda: index.put_cached("a", b"c")).message

    make_read_only(folder)
    as_nobody(check)
    writer.close()


def test_a_frozen_index_that_is_changed_meanwhile_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = made(tmp_path / "index.db")
    monkeypatch.setattr(os, "access", lambda *_: False)
    executor = SqliteExecutor(path)

    def changed() -> None:
        with executor.read() as session:
            session.rows("cached", key="a")
            os.utime(path, ns=(1, 1))

    assert "changed" in refusal(changed).message
    with executor.read() as session:
        assert session.rows("cached", key="a") == []
    executor.close()


def test_a_frozen_index_that_was_changed_before_is_read_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = made(tmp_path / "index.db")
    with monkeypatch.context() as patch:
        patch.setattr(os, "access", lambda *_: False)
        index = open_sqlite(path)
        assert index.cached("a") is None
        alter(path, "INSERT INTO cached VALUES ('a', x'62')")
        assert index.cached("a") == b"b"
        index.close()


def test_a_missing_index_in_a_read_only_folder_is_refused(folder: Path) -> None:
    def check() -> None:
        error = refusal(lambda: open_sqlite(folder / "index.db").cached("a"))
        assert "created" in error.message

    make_read_only(folder)
    as_nobody(check)


def test_a_folder_that_may_not_be_entered_is_refused(folder: Path) -> None:
    (folder / "closed").mkdir(mode=0o700)

    def check() -> None:
        path = folder / "closed" / "index.db"
        assert "reached" in refusal(lambda: open_sqlite(path).cached("a")).message

    as_nobody(check)


def test_an_empty_index_that_can_only_be_read_is_refused(folder: Path) -> None:
    (folder / "index.db").touch()

    def check() -> None:
        assert "empty" in refusal(lambda: open_sqlite(folder / "index.db").cached("a")).message

    make_read_only(folder)
    as_nobody(check)


def test_an_index_that_may_not_be_read_is_refused(folder: Path) -> None:
    path = made(folder / "index.db")

    def check() -> None:
        assert "opened" in refusal(lambda: open_sqlite(path).cached("a")).message

    path.chmod(0o000)
    as_nobody(check)


# --- threads -----------------------------------------------------------------------------------


def test_threads_take_turns(tmp_path: Path) -> None:
    index = open_sqlite(tmp_path / "index.db")
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for n in range(20):
                index.put_cached(f"{number}-{n}", b"x")
                assert index.cached(f"{number}-{n}") == b"x"
        except BaseException as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    index.close()
