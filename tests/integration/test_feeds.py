"""Imports and downloads: real archives, real HTTP on loopback, hostile input."""

import gzip
import io
import json
import os
import sqlite3
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from layerproof.errors import AdvisoryError
from layerproof.feeds.build import build, feed_of
from layerproof.feeds.documents import containers
from layerproof.feeds.file import AdvisoryFile, open_file
from layerproof.feeds.known import FEEDS, KnownFeed
from layerproof.feeds.update import update
from layerproof.model.advisory import ImportReport

NOW = datetime(2026, 5, 4, tzinfo=UTC)


def record(number: int = 1, package: str = "a", **more: Any) -> dict[str, Any]:
    return {
        "id": f"GHSA-{number}",
        "modified": "2026-05-01T00:00:00Z",
        "affected": [
            {
                "package": {"ecosystem": "PyPI", "name": package},
                "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "2"}]}],
            }
        ],
        **more,
    }


def zipped(*documents: Any) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, document in enumerate(documents):
            data = document if isinstance(document, bytes) else json.dumps(document).encode()
            archive.writestr(f"{number}.json", data)
    return buffer.getvalue()


def imported(tmp_path: Path, name: str, data: bytes) -> ImportReport:
    path = tmp_path / name
    path.write_bytes(data)
    (report,) = build(tmp_path / "a.db", [feed_of(c, None, ()) for c in containers(path)], NOW)
    return report


def names(tmp_path: Path) -> set[str]:
    file = AdvisoryFile(tmp_path / "a.db")
    rows = file.affected({("PyPI", "a"), ("PyPI", "b")})
    file.close()
    return {advisory.id for found in rows.values() for advisory, _ in found}


def test_an_archive_speaks_for_its_ecosystem_and_a_single_record_does_not(tmp_path: Path) -> None:
    whole = imported(tmp_path, "all.zip", zipped(record(1), record(2, "b")))
    assert (whole.records, whole.covered, whole.skipped) == (2, {"PyPI"}, 0)
    assert whole.as_of == datetime(2026, 5, 1, tzinfo=UTC)
    single = imported(tmp_path, "one.json", json.dumps(record(3)).encode())
    assert single.covered == set()
    assert names(tmp_path) == {"GHSA-1", "GHSA-2", "GHSA-3"}


def test_importing_again_replaces_what_was_under_the_name(tmp_path: Path) -> None:
    imported(tmp_path, "all.zip", zipped(record(1)))
    imported(tmp_path, "all.zip", zipped(record(2)))
    assert names(tmp_path) == {"GHSA-2"}


@pytest.mark.parametrize("compression", ["gz", "xz", "bz2"])
def test_compressed_archives_and_folders(tmp_path: Path, compression: str) -> None:
    source = tmp_path / "in" / "osv"
    source.mkdir(parents=True)
    (source / "1.json").write_text(json.dumps(record(1)))
    (source / "README.md").write_text("no record")
    with gzip.open(source / "2.json.gz", "wb") as file:
        file.write(json.dumps(record(2)).encode())
    inside = tmp_path / "in" / f"more.tar.{compression}"
    if compression == "bz2":
        inside = inside.with_name("more.tar")
    mode: Any = f"w:{compression}" if compression != "bz2" else "w"
    with tarfile.open(inside, mode) as archive:
        data = json.dumps(record(3)).encode()
        info = tarfile.TarInfo("deep/er/3.json")
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))
    feeds = [feed_of(c, None, ()) for c in containers(tmp_path / "in")]
    build(tmp_path / "a.db", feeds, NOW)
    assert names(tmp_path) == {"GHSA-1", "GHSA-2", "GHSA-3"}


def test_records_that_cannot_be_used_are_counted_and_shown(tmp_path: Path) -> None:
    bad = {"id": "GHSA-9", "affected": [{"package": {"ecosystem": "PyPI", "name": 7}}]}
    report = imported(tmp_path, "all.zip", zipped(record(1), b"{", bad, {"a": 1}, b"\x00"))
    assert (report.records, report.skipped) == (1, 4)
    assert any("GHSA-9" in problem for problem in report.problems)


def test_a_cut_archive_is_told_and_what_was_read_is_kept(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "in.tar.gz", "w:gz") as archive:
        for number in range(200):
            data = json.dumps(record(number, details=os.urandom(4000).hex())).encode()
            info = tarfile.TarInfo(f"{number}.json")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    whole = (tmp_path / "in.tar.gz").read_bytes()
    report = imported(tmp_path, "cut.tar.gz", whole[: len(whole) // 2])
    assert 0 < report.records < 200
    assert any("damaged from here on" in problem for problem in report.problems)
    for data in (b"", b"PK\x03\x04", zipped(record(1))[:-30]):
        assert imported(tmp_path, "cut.zip", data).skipped == 1


def test_a_bomb_is_told_and_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("layerproof.feeds.documents.MAX_MEMBER", 1 << 20)
    report = imported(tmp_path, "all.zip", zipped(record(1), b" " * (8 << 20)))
    assert (report.records, report.skipped) == (1, 1)
    assert "larger than" in report.problems[0]


def test_names_of_an_archive_write_nothing(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("../../escaped.json", json.dumps(record(1)))
    before = set(tmp_path.parent.rglob("*"))
    assert imported(tmp_path, "all.zip", buffer.getvalue()).records == 1
    assert {p.name for p in set(tmp_path.parent.rglob("*")) - before} <= {
        "all.zip",
        "a.db",
        "a.db.lock",
    }


def test_a_damaged_file_is_told_and_can_be_built_again(tmp_path: Path) -> None:
    imported(tmp_path, "all.zip", zipped(*(record(n) for n in range(50))))
    path = tmp_path / "a.db"
    whole = path.read_bytes()
    for damaged in (b"", b"x" * 5000, whole[:100], whole[: len(whole) // 2]):
        path.write_bytes(damaged)
        with pytest.raises(AdvisoryError) as caught:
            AdvisoryFile(path).affected({("PyPI", "a")})
        assert "layerproof advisories" in caught.value.remedy
    path.write_bytes(b"x" * 5000)
    imported(tmp_path, "all.zip", zipped(record(1)))
    assert names(tmp_path) == {"GHSA-1"}


def test_readers_keep_the_file_that_they_opened(tmp_path: Path) -> None:
    imported(tmp_path, "all.zip", zipped(record(1)))
    reader = AdvisoryFile(tmp_path / "a.db")
    snapshot = reader.snapshot
    imported(tmp_path, "all.zip", zipped(record(2)))
    ((advisory, _),) = reader.affected({("PyPI", "a")})["PyPI", "a"]
    assert (advisory.id, reader.snapshot) == ("GHSA-1", snapshot)
    reader.close()
    assert names(tmp_path) == {"GHSA-2"}


def test_two_builders_do_not_meet(tmp_path: Path) -> None:
    (tmp_path / "all.zip").write_bytes(zipped(record(1)))
    holder = (
        "import fcntl, os, sys, time; f = os.open(sys.argv[1], os.O_CREAT | os.O_RDWR); "
        "fcntl.flock(f, fcntl.LOCK_EX); print('held', flush=True); time.sleep(30)"
    )
    lock = tmp_path / "a.db.lock"
    with subprocess.Popen(
        [sys.executable, "-c", holder, str(lock)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with pytest.raises(AdvisoryError, match="another process"):
            imported(tmp_path, "all.zip", zipped(record(1)))
        process.kill()
    imported(tmp_path, "all.zip", zipped(record(1)))


def test_killed_while_building_leaves_the_old_file(tmp_path: Path) -> None:
    imported(tmp_path, "all.zip", zipped(record(1)))
    (tmp_path / "big.zip").write_bytes(zipped(*(record(n, f"p{n}") for n in range(4_000))))
    program = (
        "import sys, os, signal\n"
        "from datetime import UTC, datetime\n"
        "from pathlib import Path\n"
        "from layerproof.feeds import build as b, documents as d\n"
        "seen = []\n"
        "def progress(name, count):\n"
        "    if count > int(sys.argv[2]): os.kill(os.getpid(), signal.SIGKILL)\n"
        "f = [b.feed_of(c, None, ()) for c in d.containers(Path(sys.argv[1]) / 'big.zip')]\n"
        "b.build(Path(sys.argv[1]) / 'a.db', f, datetime.now(UTC), progress=progress)\n"
    )
    for count in (0, 1_000, 3_900):
        subprocess.run(
            [sys.executable, "-c", program, str(tmp_path), str(count)], check=False, timeout=60
        )
        assert names(tmp_path) == {"GHSA-1"}
    imported(tmp_path, "all.zip", zipped(record(2)))
    assert names(tmp_path) == {"GHSA-2"}


# --- downloads ---


class _Site:
    """Files with entity tags, byte ranges, and faults on demand."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.asked: list[tuple[str, int, str]] = []
        self.cut: dict[str, int] = {}  # path → bytes after which the connection ends, once
        self.status: dict[str, int] = {}


@pytest.fixture
def site() -> Iterator[tuple[_Site, str]]:
    state = _Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            data = state.files.get(self.path)
            forced = state.status.get(self.path)
            if data is None or forced:
                self._answer(forced or 404, b"", {})
                return
            tag = f'"{hash(data)}"'
            if self.headers.get("If-None-Match") == tag:
                self._answer(304, b"", {"ETag": tag})
                return
            wanted, start = self.headers.get("Range"), 0
            if wanted and self.headers.get("If-Range") == tag:
                start = int(wanted.removeprefix("bytes=").rstrip("-"))
            self._answer(206 if start else 200, data[start:], {"ETag": tag})

        def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            state.asked.append((self.path, status, self.headers.get("Range", "")))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            cut = state.cut.pop(self.path, None)
            self.wfile.write(body[:cut])

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield state, f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


PYPI = FEEDS["PyPI"]
PYPI_PATH = "/" + PYPI.urls[0].removeprefix("https://")


def fetch(
    tmp_path: Path, url: str, *feeds: KnownFeed, now: datetime = NOW
) -> tuple[list[ImportReport], list[AdvisoryError]]:
    return update(tmp_path / "a.db", feeds or (PYPI,), url, now, lambda *_: None)


def test_a_feed_is_downloaded_once_while_it_does_not_change(
    site: tuple[_Site, str], tmp_path: Path
) -> None:
    state, url = site
    state.files[PYPI_PATH] = zipped(record(1))
    (report,), errors = fetch(tmp_path, url)
    assert (report.covered, report.as_of, errors) == ({"PyPI"}, NOW, [])
    later = NOW + timedelta(days=1)
    assert fetch(tmp_path, url, now=later) == ([], [])
    assert [status for _, status, _ in state.asked] == [200, 304]
    file = open_file(tmp_path / "a.db")
    assert file is not None
    assert file.coverage()["PyPI"].as_of == later
    file.close()
    assert names(tmp_path) == {"GHSA-1"}
    state.files[PYPI_PATH] = zipped(record(2))
    fetch(tmp_path, url)
    assert names(tmp_path) == {"GHSA-2"}


def test_an_interrupted_download_goes_on(site: tuple[_Site, str], tmp_path: Path) -> None:
    state, url = site
    state.files[PYPI_PATH] = zipped(
        *(record(n, details=os.urandom(3_000).hex()) for n in range(300))
    )
    state.cut[PYPI_PATH] = 400_000
    (report,), errors = fetch(tmp_path, url)
    assert (report.records, errors) == (300, [])
    assert [status for _, status, _ in state.asked] == [200, 206]
    assert not (tmp_path / "a.db.downloads").exists()


def test_a_file_that_changed_meanwhile_is_fetched_anew(
    site: tuple[_Site, str], tmp_path: Path
) -> None:
    state, url = site
    state.files[PYPI_PATH] = zipped(
        *(record(n, details=os.urandom(3_000).hex()) for n in range(99))
    )
    for _ in range(4):
        state.cut[PYPI_PATH] = 1
        state.status[PYPI_PATH] = 503 if state.asked else 0
        _, errors = fetch(tmp_path, url)
    assert errors
    state.status.clear()
    state.cut.clear()
    state.files[PYPI_PATH] = zipped(record(7))
    fetch(tmp_path, url)
    assert names(tmp_path) == {"GHSA-7"}


def test_one_feed_that_fails_leaves_the_others(site: tuple[_Site, str], tmp_path: Path) -> None:
    state, url = site
    state.files[PYPI_PATH] = zipped(record(1))
    found, errors = fetch(tmp_path, url, PYPI, FEEDS["npm"])
    assert [report.name for report in found] == ["PyPI"]
    assert len(errors) == 1
    assert "npm/all.zip" in errors[0].where
    assert "advisories import" in errors[0].remedy
    assert names(tmp_path) == {"GHSA-1"}


def test_package_indexes_know_their_release(site: tuple[_Site, str], tmp_path: Path) -> None:
    import lzma

    state, url = site
    feed = FEEDS["debian-12-packages"]
    state.files["/" + feed.urls[0].removeprefix("https://")] = lzma.compress(
        b"Package: bash\nVersion: 5.2.15-2+b7\n\n"
    )
    fetch(tmp_path, url, feed)
    file = AdvisoryFile(tmp_path / "a.db")
    assert file.newest({("Debian:12", "bash")})["Debian:12", "bash"].version == "5.2.15-2+b7"
    assert set(file.coverage(versions=True)) == {"Debian:12"}
    file.close()


def test_an_index_in_an_unknown_compression_is_told(tmp_path: Path) -> None:
    report = imported(tmp_path, "Packages.lz4", b"\x04\x22\x4d\x18Package: bash\nVersion: 1\n\n")
    assert (report.records, report.skipped) == (0, 1)


def test_every_known_feed_has_an_address_that_is_encrypted() -> None:
    for feed in FEEDS.values():
        assert feed.urls
        assert all(url.startswith("https://") for url in feed.urls)


def test_the_file_is_what_it_says(tmp_path: Path) -> None:
    imported(tmp_path, "all.zip", zipped(record(1)))
    with sqlite3.connect(tmp_path / "a.db") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert (tmp_path / "a.db").stat().st_mode & 0o777 == 0o600
