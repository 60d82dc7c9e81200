"""Jobs side by side in forked processes: no start-up, no pickling, memory shared until written.

1. All jobs go into a pipe as four-byte records. Every process, the caller's too, takes its next job
   from that pipe, so the largest-first order balances itself.
2. Children report progress, and at most one error, as JSON lines through a second pipe. The caller
   relays them whenever it has progress of its own, and until all children are gone.
3. A child whose caller died gets EPIPE with its next report and ends.
4. The first error empties the job pipe, ends the other children and is raised.
"""

import json
import os
import select
import signal
import struct
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import NoReturn

from layerproof.errors import LayerproofError, from_wire, to_wire

_JOB = struct.Struct("<I")
_PIPE_ROOM = 16_000  # job records that surely fit an empty pipe (64 KiB)
_REPORT_STEP = 1 << 20  # bytes between two reports of a child

Report = Callable[[int, int], None]
Work = Callable[[int, Report], None]


class WorkerCrashedError(LayerproofError):
    """A worker process died, or met a defect; nothing of its layer is in the index."""

    code = "worker-crashed"


class Inline:
    """One process, one job after the other."""

    count = 1

    def run(self, jobs: Sequence[int], work: Work, report: Report) -> None:
        """See `engine.ports.Workers`."""
        for job in jobs:
            work(job, report)


class Forked:
    """Up to `count` processes, the caller's included. Fork happens inside `run` only."""

    def __init__(self, count: int = 0) -> None:
        self.count = count or len(os.sched_getaffinity(0))

    def run(self, jobs: Sequence[int], work: Work, report: Report) -> None:
        """See `engine.ports.Workers`."""
        if min(self.count, len(jobs)) < 2 or len(jobs) > _PIPE_ROOM:
            Inline().run(jobs, work, report)
            return
        queue_out, queue_in = os.pipe()
        os.write(queue_in, b"".join(map(_JOB.pack, jobs)))
        os.close(queue_in)
        crew = _Crew(report)
        try:
            for _ in range(min(self.count, len(jobs)) - 1):
                crew.start(queue_out, work)
            while (job := _next_job(queue_out)) is not None:
                work(job, crew.relaying)
                crew.relay(wait=False)
            crew.join()
        finally:
            os.close(queue_out)
            crew.end()


class _Crew:
    """The children of one `run`, seen from the caller."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._children: dict[int, int] = {}  # read end of its reports → pid
        self._partial: dict[int, bytes] = {}

    def start(self, queue: int, work: Work) -> None:
        reports_out, reports_in = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            os.close(reports_out)
            for other in self._children:
                os.close(other)
            _child(queue, reports_in, work)
        os.close(reports_in)
        self._children[reports_out] = pid
        self._partial[reports_out] = b""

    def relaying(self, job: int, count: int) -> None:
        """Progress of the caller's own job."""
        self._report(job, count)
        self.relay(wait=False)

    def relay(self, *, wait: bool) -> None:
        """Pass on what the children reported; raise the error that one of them met."""
        if not self._children:
            return
        ready, _, _ = select.select(list(self._children), [], [], None if wait else 0)
        for pipe in ready:
            data = os.read(pipe, 1 << 16)
            if not data:
                self._gone(pipe)
                continue
            *lines, self._partial[pipe] = (self._partial[pipe] + data).split(b"\n")
            for line in lines:
                message = json.loads(line)
                if isinstance(message, dict):
                    raise from_wire(message)
                self._report(*message)

    def join(self) -> None:
        """Relay until the last child is gone."""
        while self._children:
            self.relay(wait=True)

    def end(self) -> None:
        """After an error: the children that are left."""
        for pipe, pid in self._children.items():
            os.close(pipe)
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        self._children.clear()

    def _gone(self, pipe: int) -> None:
        pid = self._children.pop(pipe)
        os.close(pipe)
        _, status = os.waitpid(pid, 0)
        if status:
            raise WorkerCrashedError(
                f"a worker process ended with {_describe(status)}",
                remedy="run the command again: finished layers are kept. If it was killed for"
                " memory, set LAYERPROOF_WORKERS=1",
            )


def _child(queue: int, reports: int, work: Work) -> NoReturn:
    """Take jobs until there are none. Never returns into the caller's code."""
    last: dict[int, int] = {}

    def report(job: int, count: int) -> None:
        if count < 0 or count - last.get(job, -_REPORT_STEP) >= _REPORT_STEP:
            last[job] = count
            _send(reports, [job, count])

    status = 1
    try:
        while (job := _next_job(queue)) is not None:
            work(job, report)
        status = 0
    except LayerproofError as error:
        _send(reports, to_wire(error))
        status = 0
    except BrokenPipeError:
        status = 0  # the caller is gone, and with it whoever wanted the result
    except KeyboardInterrupt:
        status = 0  # the caller was interrupted too, and says so
    except BaseException:  # noqa: BLE001  because it must not unwind into the caller's frames
        defect = WorkerCrashedError(
            "a worker met a defect: " + traceback.format_exc(limit=-4),
            remedy="please report this with the image's reference",
        )
        _send(reports, to_wire(defect))
    finally:
        os._exit(status)


def _send(pipe: int, message: object) -> None:
    data = memoryview(json.dumps(message).encode() + b"\n")
    while data:
        data = data[os.write(pipe, data) :]


def _next_job(queue: int) -> int | None:
    record = os.read(queue, _JOB.size)
    return int(_JOB.unpack(record)[0]) if record else None


def _describe(status: int) -> str:
    if os.WIFSIGNALED(status):
        return f"signal {signal.Signals(os.WTERMSIG(status)).name}"
    return f"exit status {os.WEXITSTATUS(status)}"
