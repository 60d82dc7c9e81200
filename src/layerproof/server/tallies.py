"""What gates answered, counted: written to the ledger from time to time, never while a gate waits.

1. Counting costs a dictionary's look-up. A thread of its own writes what came together.
2. While the ledger cannot be written, counts are kept, and added up when it can be again.
3. What is kept is bounded: of answers that nobody can tell apart any more, only the number is kept.
"""

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime

from layerproof.engine.ports import Clock
from layerproof.errors import IndexUnavailableError
from layerproof.model.facts import Context
from layerproof.model.gate import Answer, Tally

MOST_KEPT = 10_000
FLUSH_SECONDS = 2.0


class Tallies:
    """Counts of one process. `write`: the ledger's `add_tallies`."""

    def __init__(self, write: Callable[[Sequence[Tally]], None], clock: Clock) -> None:
        self._write = write
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: dict[tuple[object, ...], Tally] = {}
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to write."""
        self._thread = threading.Thread(target=self._run, name="tallies", daemon=True)
        self._thread.start()

    def note(self, context: Context, answer: Answer) -> None:
        """Count one."""
        plain = not answer.notable  # of these, only how many matters
        reference = "" if plain else answer.reference
        reason = "" if plain else answer.reason
        where = (context.gate, context.host or "", context.namespace or "")
        words = (answer.mode, answer.cause, answer.decided, answer.decision)
        now = self._clock.now()
        with self._lock:
            key = (*where, reference, *words, reason)
            if key not in self._kept and len(self._kept) >= MOST_KEPT:
                reference, reason = "", "of answers that were too many to be told apart"
                key = (*where, reference, *words, reason)
            old = self._kept.get(key)
            if old is None:
                self._kept[key] = _first(context, answer, reference, reason, now)
            else:
                first, last = min(old.first_at, now), max(old.last_at, now)
                self._kept[key] = replace(old, first_at=first, last_at=last, count=old.count + 1)

    def flush(self) -> None:
        """Write what is kept. Raises IndexUnavailableError: it is still kept then."""
        with self._lock:
            kept, self._kept = self._kept, {}
        if not kept:
            return
        try:
            self._write(list(kept.values()))
        except BaseException:
            self._back(kept)
            raise

    def close(self) -> None:
        """Write the rest, if that can be done, and end."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        with suppress(IndexUnavailableError):
            self.flush()

    def _back(self, kept: dict[tuple[object, ...], Tally]) -> None:
        with self._lock:
            for key, new in self._kept.items():
                old = kept.get(key)
                if old is None:
                    kept[key] = new
                else:
                    count = old.count + new.count
                    kept[key] = replace(old, last_at=new.last_at, count=count)
            self._kept = kept

    def _run(self) -> None:
        while not self._stop.wait(FLUSH_SECONDS):
            with suppress(IndexUnavailableError):
                self.flush()


def _first(context: Context, answer: Answer, reference: str, reason: str, now: datetime) -> Tally:
    return Tally(
        gate=context.gate,
        host=context.host or "",
        namespace=context.namespace or "",
        reference=reference,
        mode=answer.mode,
        cause=answer.cause,
        decided=answer.decided,
        decision=answer.decision,
        reason=reason,
        first_at=now,
        last_at=now,
        count=1,
    )
