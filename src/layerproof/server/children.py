"""Jobs handed to child processes, one per slot.

1. A child that was left in the middle of a job, for whatever reason, is ended and replaced: its
   last words are about that job, and must not be taken for the end of the next one.
2. A job may take `LONGEST`. A registry that drips bytes must not hold a slot for ever; what was
   read until then is kept, and the job is tried again.
"""

import json
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any

from layerproof.engine.queue import CancelledError, Handle
from layerproof.errors import LayerproofError, from_wire
from layerproof.model.job import Job

COMMAND = (sys.executable, "-m", "layerproof.server.child")
JOBS_PER_CHILD = 200  # then a new one: what leaks, leaks no further
_LOOK_SECONDS = 0.5  # how soon a job that was cancelled is ended
_MOST_LINE = 1 << 20
LONGEST = timedelta(hours=6)


class ChildDiedError(LayerproofError):
    """The process that did the job ended; the job is tried again."""

    code = "worker-crashed"


class JobTimeoutError(LayerproofError):
    """The job took longer than any may; it is tried again."""

    code = "job-timeout"


class Children:
    """`engine.queue.Work` in processes. Every thread that calls has a child of its own."""

    def __init__(
        self,
        environment: Mapping[str, str],
        command: Sequence[str] = COMMAND,
        longest: timedelta = LONGEST,
    ) -> None:
        self._environment = dict(environment)
        self._command = list(command)
        self._longest = longest
        self._mine = threading.local()
        self._all: set[_Child] = set()
        self._lock = threading.Lock()

    def work(self, job: Job, handle: Handle) -> None:
        """Do the job. Raises what it raised, CancelledError, ChildDiedError, JobTimeoutError."""
        child: _Child | None = getattr(self._mine, "child", None)
        if child is None or not child.usable:
            child = self._mine.child = self._start()
        try:
            error = child.do(job, handle, self._longest)
        except BaseException:
            self._end(child)  # rule 1
            raise
        if error is not None:
            raise error

    def close(self) -> None:
        """End every child."""
        for child in list(self._all):
            self._end(child)

    def _start(self) -> "_Child":
        old: _Child | None = getattr(self._mine, "child", None)
        if old is not None:
            self._end(old)
        child = _Child(self._command, self._environment)
        with self._lock:
            self._all.add(child)
        return child

    def _end(self, child: "_Child") -> None:
        with self._lock:
            self._all.discard(child)
        child.end()


class _Child:
    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        # A group of its own: what it forks is ended with it.
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        os.set_blocking(self._process.stdout.fileno(), False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._process.stdout, selectors.EVENT_READ)
        self._partial = b""
        self._jobs = 0

    @property
    def usable(self) -> bool:
        return self._process.poll() is None and self._jobs < JOBS_PER_CHILD

    def do(self, job: Job, handle: Handle, longest: timedelta) -> LayerproofError | None:
        """How the job ended. Raises, with the child in the middle of it, what kept it from that."""
        self._jobs += 1
        ends = time.monotonic() + longest.total_seconds()
        line = json.dumps({"kind": job.kind, "arguments": dict(job.arguments)}) + "\n"
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line.encode())
            self._process.stdin.flush()
        except OSError as error:
            raise self._died() from error
        while True:
            for message in self._messages():
                if "progress" in message:
                    handle.progress(message["progress"])
                elif "error" in message:
                    return from_wire(message["error"])
                else:
                    return None
            if handle.cancelled():
                raise CancelledError("the job was cancelled while it ran", where=job.key)
            if time.monotonic() > ends:
                raise JobTimeoutError(
                    f"the job was not done after {longest}",
                    where=job.key,
                    remedy="check how fast the registry delivers; layers that were read are kept",
                )

    def end(self) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._selector.close()
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(OSError):
                if pipe is not None:
                    pipe.close()

    def _messages(self) -> list[dict[str, Any]]:
        """What it said within a moment."""
        if not self._selector.select(_LOOK_SECONDS):
            return []
        assert self._process.stdout is not None
        try:
            data = os.read(self._process.stdout.fileno(), 1 << 16)
        except BlockingIOError:
            return []
        if not data or len(self._partial) > _MOST_LINE:
            raise self._died()
        *lines, self._partial = (self._partial + data).split(b"\n")
        return [_message(line) for line in lines]

    def _died(self) -> ChildDiedError:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        status = self._process.poll()
        return ChildDiedError(
            f"the process that did the job ended with status {status}",
            remedy="if it was ended for memory, give the worker more, or set LAYERPROOF_WORKERS=1",
        )


def _message(line: bytes) -> dict[str, Any]:
    """One line of a child. Raises ChildDiedError for what is none: only `done` ends a job well."""
    try:
        found = json.loads(line)
    except ValueError:
        found = None
    known = isinstance(found, dict) and (
        isinstance(found.get("progress"), dict)
        or isinstance(found.get("error"), dict)
        or found.get("done") is True
    )
    if not known:
        raise ChildDiedError(
            "the process that did the job said something that is no message",
            remedy="it is tried again in a new process; please report it",
        )
    message: dict[str, Any] = found
    return message
