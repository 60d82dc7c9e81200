"""Docker's credential helpers: `docker-credential-NAME get`.

Protocol (docker/docker-credential-helpers, README "Development"): the server's address on standard
input; on success a JSON object `{"ServerURL", "Username", "Secret"}` on standard output and exit
status 0. A user name of `<token>` marks the secret as an identity token. What a helper prints may
hold a secret, so it never enters a message.
"""

import contextlib
import json
import os
import re
import selectors
import signal
import subprocess
import time

from layerproof.errors import AuthenticationError
from layerproof.sources.registry.credentials import Credential

HELPER_SECONDS = 20.0
_OUTPUT_BYTES = 64 * 1024
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_NOT_FOUND = b"credentials not found"  # the phrase that all helpers share, on standard output
_IDENTITY_TOKEN_USER = "<token>"


def ask_helper(name: str, server: str, *, seconds: float = HELPER_SECONDS) -> Credential | None:
    """The login that a helper holds for a server, or None.

    Raises AuthenticationError when the helper is missing, fails, hangs or answers nonsense.
    """
    if not _NAME.fullmatch(name):
        raise _failure(name, "has an impossible name")
    status, output = _run(name, server, seconds)
    if status != 0:
        if _NOT_FOUND in output:
            return None
        raise _failure(name, f"failed with exit status {status}")
    return _parse(name, output)


def _run(name: str, server: str, seconds: float) -> tuple[int, bytes]:
    try:
        # The name is one word without separators, looked up in PATH; no shell takes part.
        process = subprocess.Popen(
            [f"docker-credential-{name}", "get"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # so that its children can be ended with it
        )
    except OSError as exc:
        raise _failure(name, f"cannot be started: {exc.strerror}") from exc
    deadline = time.monotonic() + seconds
    try:
        _send(process, server)
        output = _read(process, name, deadline)
        return process.wait(max(0.1, deadline - time.monotonic())), output
    except subprocess.TimeoutExpired as exc:
        raise _failure(name, f"did not end within {seconds:g} s") from exc
    finally:
        _end(process)


def _send(process: "subprocess.Popen[bytes]", server: str) -> None:
    assert process.stdin is not None
    # A helper may answer without reading.
    with contextlib.suppress(BrokenPipeError), process.stdin as pipe:
        pipe.write(server.encode())


def _read(process: "subprocess.Popen[bytes]", name: str, deadline: float) -> bytes:
    assert process.stdout is not None
    output = bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            wait = deadline - time.monotonic()
            if wait <= 0 or not selector.select(wait):
                raise _failure(name, "did not answer in time")
            part = os.read(process.stdout.fileno(), _OUTPUT_BYTES)
            if not part:
                return bytes(output)
            output += part
            if len(output) > _OUTPUT_BYTES:
                raise _failure(name, f"answered more than {_OUTPUT_BYTES} bytes")


def _end(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    if process.stdout is not None:
        process.stdout.close()


def _parse(name: str, output: bytes) -> Credential:
    try:
        answer = json.loads(output)
    except (ValueError, RecursionError):
        # The cause would carry the output, and with it perhaps the secret.
        raise _failure(name, "answered something that is not JSON") from None
    if not isinstance(answer, dict):
        raise _failure(name, "answered something that is not a JSON object")
    user, secret = answer.get("Username"), answer.get("Secret")
    if not (isinstance(user, str) and isinstance(secret, str) and secret):
        raise _failure(name, "answered without Username or Secret")
    if user == _IDENTITY_TOKEN_USER:
        return Credential(username=user, identity_token=secret)
    return Credential(username=user, password=secret)


def _failure(name: str, problem: str) -> AuthenticationError:
    return AuthenticationError(
        f"the credential helper {name[:100]!r} {problem}",
        where=f"docker-credential-{name[:100]}",
        remedy="run it by hand, or take it out of credHelpers or credsStore in config.json",
    )
