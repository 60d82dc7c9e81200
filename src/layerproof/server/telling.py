"""Notices on their way: throttled, and sent by a thread of its own: nobody waits for a chat.

A notice that could not be sent is tried again a few times; then it is in the log, and only there.
"""

import queue
import threading
from collections.abc import Sequence
from datetime import datetime

from layerproof.engine.notices import Notice, Notifier, Throttle, Urgency
from layerproof.errors import LayerproofError
from layerproof.model.facts import Context
from layerproof.model.gate import Answer
from layerproof.server import logs

_MOST_WAITING = 1000
_TRIES = 3
_AGAIN_SECONDS = 5.0


class Telling:
    """Tells everybody who is to be told. `notifiers`: each with the least urgency it wants."""

    def __init__(
        self,
        notifiers: Sequence[tuple[Notifier, Urgency]],
        throttle: Throttle,
        pause: float = _AGAIN_SECONDS,
    ) -> None:
        self._notifiers = notifiers
        self._throttle = throttle
        self._pause = pause
        self._lock = threading.Lock()
        self._queue: queue.Queue[Notice | None] = queue.Queue(_MOST_WAITING)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="notices", daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def tell(self, notice: Notice) -> None:
        """Never waits, never fails."""
        with self._lock:
            passed = self._throttle.passes(notice)
        if passed is None:
            return
        logs.logger().warning(
            "notice", kind=passed.kind, urgency=str(passed.urgency), title=passed.title,
            text=passed.text, **{k.replace(" ", "_"): v for k, v in passed.fields.items()},
        )  # fmt: skip
        try:
            self._queue.put_nowait(passed)
        except queue.Full:
            logs.logger().error("notice lost: too many wait", kind=passed.kind)

    def settle(self) -> None:
        """Until what waits was sent, or tried often enough."""
        self._queue.join()

    def close(self) -> None:
        """Send what waits, once, and end."""
        self._stop.set()
        self._queue.put(None)
        self._thread.join(30)

    def _run(self) -> None:
        while (notice := self._queue.get()) is not None:
            for notifier, least in self._notifiers:
                if _rank(notice.urgency) >= _rank(least):
                    self._send(notifier, notice)
            self._queue.task_done()

    def _send(self, notifier: Notifier, notice: Notice) -> None:
        for attempt in range(1, _TRIES + 1):
            try:
                notifier.send(notice)
                return
            except LayerproofError as error:
                logs.logger().warning("notice not sent", by=notifier.name, said=str(error),
                                      attempt=attempt)  # fmt: skip
            if self._stop.is_set() or attempt == _TRIES:
                return
            self._stop.wait(self._pause)


def at_a_gate(context: Context, what: str, answer: Answer, now: datetime) -> Notice:
    """That a gate refused something, or only would have."""
    done = "refused" if not answer.admitted else "admitted, but not trusted"
    subject = answer.reference or what or "a request"
    fields = {"gate": context.gate, "image": subject, "asked for": what, "mode": str(answer.mode)}
    return Notice(
        kind="gate",
        title=f"{done} by the {context.gate} gate on {context.host}: {subject}",
        text=f"{answer.reason} -> {answer.remedy}" if answer.remedy else answer.reason,
        at=now,
        fields={name: value for name, value in fields.items() if value},
        about=f"{context.gate} {context.host} {subject} {answer.decision} {answer.reason}",
    )


def _rank(urgency: Urgency) -> int:
    return tuple(Urgency).index(urgency)
