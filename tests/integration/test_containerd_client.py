"""The program that containerd starts for every pull, compiled and as a script: what it sends, and
what becomes of a gate that answers nothing, nonsense, or is not there."""

import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from layerproof.errors import UsageError
from layerproof.gates.containerd import install
from layerproof.gates.containerd.install import build_client

WORDS = ["-name", "registry.example/app:1", "-digest", "sha256:" + "a" * 64]


@dataclass
class Gate:
    """Answers one question."""

    answer: Callable[[socket.socket], None]
    path: Path
    asked: bytes = b""
    failed: list[OSError] = field(default_factory=list)

    def __enter__(self) -> "Gate":
        self.listening = socket.socket(socket.AF_UNIX)
        self.listening.bind(str(self.path))
        self.listening.listen()
        self.listening.settimeout(30)
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.thread.join(30)
        self.listening.close()
        assert not self.failed

    def _serve(self) -> None:
        try:
            connection, _ = self.listening.accept()
            with connection:
                connection.settimeout(30)
                while data := connection.recv(65536):
                    self.asked += data
                self.answer(connection)
        except OSError as error:  # told by the test, which waits for this thread
            self.failed.append(error)


def says(data: bytes) -> Callable[[socket.socket], None]:
    return lambda connection: connection.sendall(data)


@pytest.fixture(params=["compiled", "script"])
def make(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Path, bool], Path]:
    if request.param == "script":
        monkeypatch.setattr(install.shutil, "which", lambda name: None)
    elif shutil.which("cc") is None:
        pytest.skip("not installed: a C compiler")

    def made(gate: Path, fail_open: bool = False) -> Path:
        program = tmp_path / "client"
        data = build_client(gate, fail_open=fail_open)
        assert data.startswith(b"\x7fELF" if request.param == "compiled" else b"#!")
        program.write_bytes(data)
        program.chmod(0o755)
        return program

    return made


@pytest.fixture
def place(short_folder: Path) -> Iterator[Path]:
    found = short_folder / "gate.sock"
    yield found
    found.unlink(missing_ok=True)


def run(
    program: Path, words: list[str], given: bytes = b"{}"
) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        [program, *words], input=given, capture_output=True, timeout=30, check=False
    )


Make = Callable[..., Path]


@pytest.mark.parametrize(("said", "code"), [(b"0fine", 0), (b"1because", 1)])
def test_the_gates_word_and_its_reason_are_passed_on(
    make: Make, place: Path, said: bytes, code: int
) -> None:
    for fail_open in (False, True):
        place.unlink(missing_ok=True)
        with Gate(says(said), place) as gate:
            done = run(make(place, fail_open), WORDS, b'{"digest": "x"}')
        assert (done.returncode, done.stdout) == (code, said[1:])
        words = b"".join(word.encode() + b"\0" for word in WORDS)
        assert gate.asked == words + b"\0" + b'{"digest": "x"}'


@pytest.mark.parametrize("fail_open", [False, True])
@pytest.mark.parametrize(
    "said", [b"", b"2", b"yes", b"\0" + b"0"], ids=["nothing", "2", "yes", "nul"]
)
def test_a_gate_that_talks_nonsense_is_a_gate_that_does_not_answer(
    make: Make, place: Path, said: bytes, fail_open: bool
) -> None:
    with Gate(says(said), place):
        done = run(make(place, fail_open), WORDS)
    assert done.returncode == (0 if fail_open else 1)
    assert b"does not answer" in done.stdout
    assert (b"admitted, as its installation says" if fail_open else b"refused") in done.stdout


@pytest.mark.parametrize("fail_open", [False, True])
def test_a_gate_that_is_not_there(make: Make, place: Path, fail_open: bool) -> None:
    program = make(place, fail_open)
    assert run(program, WORDS).returncode == (0 if fail_open else 1)
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(str(place))  # nobody listens
    done = run(program, WORDS)
    assert done.returncode == (0 if fail_open else 1)
    assert b"does not answer" in done.stdout


def test_a_gate_that_never_answers_is_given_up_before_containerd_does(
    make: Make, place: Path
) -> None:
    """Which kills it after ten seconds, and then says no reason."""
    ended = threading.Event()
    with Gate(lambda connection: ended.wait(30) and None, place):
        done = run(make(place), WORDS)
        ended.set()
    assert done.returncode == 1
    assert b"refused" in done.stdout


def test_a_flood_on_standard_input_is_cut_and_a_flood_of_reasons_too(
    make: Make, place: Path
) -> None:
    with Gate(says(b"1" + b"r" * 16_000), place) as gate:
        done = run(make(place), WORDS, b"x" * 200_000)
    assert done.returncode == 1
    assert len(gate.asked) <= 64 * 1024 + 200
    assert done.stdout == b"r" * 16_000


def test_names_are_passed_as_they_are(make: Make, place: Path) -> None:
    words = ["-name", "a b\n\"'$(touch x)é", "-digest", "\udcff"]
    with Gate(says(b"0"), place) as gate:
        assert run(make(place), words, b"").returncode == 0
    assert gate.asked == b"-name\0a b\n\"'$(touch x)\xc3\xa9\0-digest\0\xff\0\0"


@pytest.mark.parametrize("path", ['/run/a"b', "/run/a\\n", "/run/a\nb", "/run/" + "x" * 100])
def test_a_path_that_would_become_code_is_refused(path: str) -> None:
    with pytest.raises(UsageError, match="no path for a socket"):
        build_client(Path(path), fail_open=False)
