"""Credential helpers: real programs that answer, fail, hang and flood."""

import os
import time
from pathlib import Path

import pytest

from layerproof.errors import AuthenticationError
from layerproof.sources.registry.credentials import Credential
from layerproof.sources.registry.helper import ask_helper


@pytest.fixture
def helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    def write(script: str) -> None:
        file = tmp_path / "docker-credential-test"
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(0o755)

    return write


def test_login_is_read_and_host_is_sent(helper) -> None:
    helper(
        'read host || true; echo "{\\"ServerURL\\":\\"x\\",'
        '\\"Username\\":\\"$1 $host\\",\\"Secret\\":\\"pw\\"}"'
    )
    assert ask_helper("test", "r.example:5000") == Credential("get r.example:5000", "pw")


def test_token_user_marks_an_identity_token(helper) -> None:
    helper('echo \'{"Username":"<token>","Secret":"refresh"}\'')
    assert ask_helper("test", "r") == Credential("<token>", identity_token="refresh")


def test_unknown_host_is_no_login(helper) -> None:
    helper("echo credentials not found in native keychain; exit 1")
    assert ask_helper("test", "r") is None


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo s3cr3t; echo s3cr3t >&2; exit 3", "exit status 3"),
        ("echo s3cr3t", "not JSON"),
        ("echo '[\"s3cr3t\"]'", "not a JSON object"),
        ('echo \'{"Secret":"s3cr3t"}\'', "without Username"),
        ("head -c 100000 /dev/zero", "more than 65536 bytes"),
    ],
)
def test_failing_helper_is_named_without_its_words(helper, script: str, message: str) -> None:
    helper(script)
    with pytest.raises(AuthenticationError, match=message) as caught:
        ask_helper("test", "r")
    assert caught.value.where == "docker-credential-test"
    assert "s3cr3t" not in f"{caught.value} {caught.value.__cause__}"


def test_hanging_helper_is_ended_with_its_children(helper, tmp_path: Path) -> None:
    helper(f"sleep 60 & echo $! > {tmp_path}/child; wait")
    started = time.monotonic()
    with pytest.raises(AuthenticationError, match="did not answer in time"):
        ask_helper("test", "r", seconds=0.3)
    assert time.monotonic() - started < 5
    assert ended(int((tmp_path / "child").read_text()))


def test_helper_that_closes_its_output_and_stays_is_ended(helper) -> None:
    helper("exec >&-; exec sleep 60")
    with pytest.raises(AuthenticationError, match="did not end within"):
        ask_helper("test", "r", seconds=0.3)


def test_missing_helper_is_named() -> None:
    with pytest.raises(AuthenticationError, match="cannot be started"):
        ask_helper("there-is-no-such-helper", "r")


@pytest.mark.parametrize("name", ["../evil", "a/b", "", "-x", "a b", "a\0b"])
def test_name_that_is_no_word_is_not_run(name: str) -> None:
    with pytest.raises(AuthenticationError, match="impossible name"):
        ask_helper(name, "r")


def ended(pid: int) -> bool:
    """Gone, or a zombie that nobody collects."""
    for _ in range(200):
        try:
            if Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.01)
    return False
