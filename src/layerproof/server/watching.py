"""What runs, judged: one runtime's containers, as long as they run.

1. A start is an event of the index, with the host and the top ChainID. What ran before the watching
   began, or was found by a list and not by an event, is a sighting.
2. Everything that runs is judged when it is first seen, and again whenever something may have
   changed: trust that was revoked, a layer that was withdrawn, an exception that ended.
3. What is refused is told, and answered as the policy says (`gates.<gate>.running`): alert, pause,
   stop, kill, quarantine. In the modes `observe` and `alert` nothing is done to a container.
4. Nothing is done to a container because the index could not be asked: only what was judged, or
   what the index does not hold and the policy refuses to let run undecided, is answered so.
5. Lists are compared again and again. If every event is lost, the next list finds what runs.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from layerproof.engine.notices import Notice, Urgency
from layerproof.engine.ports import Clock, Index
from layerproof.errors import LayerproofError
from layerproof.gates.interface import Decider
from layerproof.model.event import Event, EventKind
from layerproof.model.facts import Context
from layerproof.model.gate import Answer, Cause, Question, Reaction
from layerproof.model.reference import DOCKER, parse_reference
from layerproof.model.running import Running
from layerproof.model.verdict import Decision
from layerproof.monitors.interface import Change, Happening, Runtime
from layerproof.policy.model import Policy
from layerproof.server import logs

RECONCILE_SECONDS = 3.0
_JUDGED_AT_ONCE = 8
_MOST_PENDING = 100_000
_MOST_TRIES = 5  # of one reaction

Tell = Callable[[Notice], None]
Audit = Callable[[str, str, dict[str, object], str], None]  # action, target, details, outcome
PullAside = Callable[[Running, str], None]  # reason


@dataclass(slots=True)
class _Seen:
    """What is known of one that runs."""

    running: Running
    answer: Answer | None = None
    done: Reaction | None = None
    tries: int = 0


@dataclass(frozen=True, slots=True)
class Parts:
    """What the watching needs, put together by the command."""

    runtime: Runtime
    decider: Decider
    index: Index
    policy: Callable[[], Policy | None]
    clock: Clock
    host: str
    tell: Tell
    audit: Audit
    pull_aside: PullAside


class Watching:
    """One runtime, in one event loop. `run` until it is cancelled."""

    def __init__(self, parts: Parts, every: float = RECONCILE_SECONDS) -> None:
        self._parts = parts
        self._every = every
        self._seen: dict[str, _Seen] = {}
        self._pending: deque[Event] = deque(maxlen=_MOST_PENDING)
        self._slots = asyncio.Semaphore(_JUDGED_AT_ONCE)
        self._judging: dict[str, asyncio.Task[None]] = {}
        self._wake = asyncio.Event()
        self._first = True
        self._reachable = True

    async def run(self) -> None:
        """Until it is cancelled."""
        loop = asyncio.get_running_loop()
        stop = threading.Event()
        happenings: asyncio.Queue[Happening | None] = asyncio.Queue(10_000)
        listener = threading.Thread(
            target=self._listen, args=(loop, happenings, stop), name="events", daemon=True
        )
        listener.start()
        try:
            await asyncio.gather(self._reconciling(), self._following(happenings))
        finally:
            stop.set()
            for task in self._judging.values():
                task.cancel()
            await self._write()

    async def reconcile(self) -> None:
        """Compare what is known with what really runs, and judge all of it again."""
        began = set(self._judging)
        try:
            found = await asyncio.to_thread(self._parts.runtime.running)
        except LayerproofError as error:
            self._unreachable(error)
            return
        if not self._reachable:
            self._reachable = True
            logs.logger().info("runtime answers again", runtime=self._parts.runtime.name)
        here = {running.key for running in found}
        for key in [k for k in self._seen if k not in here and k not in began]:
            self._ended(key)
        for running in found:
            self._see(running, EventKind.SIGHTING)
        self._first = False
        await self._write()

    async def settle(self) -> None:
        """Until everything that was seen is judged."""
        while self._judging:
            await asyncio.gather(*self._judging.values(), return_exceptions=True)

    def seen(self) -> Sequence[tuple[Running, Answer | None]]:
        """What runs, and what was answered about it."""
        return [(seen.running, seen.answer) for seen in self._seen.values()]

    # --- events ----------------------------------------------------------------------------------

    async def happened(self, event: Happening) -> None:
        """What an event tells of, looked up in the runtime."""
        if event.change is Change.STOPPED:
            for key, seen in list(self._seen.items()):
                if (seen.running.id, seen.running.namespace) == (event.id, event.namespace):
                    self._ended(key)
            return
        try:
            running = await asyncio.to_thread(
                self._parts.runtime.inspect, event.id, event.namespace
            )
        except LayerproofError as error:
            self._unreachable(error)
            return
        if running is not None:  # it may have ended already: the end is an event, too
            self._see(running, EventKind.START)

    def _listen(
        self,
        loop: asyncio.AbstractEventLoop,
        happenings: "asyncio.Queue[Happening | None]",
        stop: threading.Event,
    ) -> None:
        """In a thread: events, again after every end, each time with a list first."""
        while not stop.is_set():
            try:
                with self._parts.runtime.events() as events:
                    _offer(loop, happenings, None)
                    for event in events:
                        if stop.is_set():
                            return
                        _offer(loop, happenings, event)
            except LayerproofError as error:
                logs.logger().warning(
                    "events ended", runtime=self._parts.runtime.name, said=str(error)
                )
            except RuntimeError:  # the loop has ended
                return
            stop.wait(1.0)

    async def _following(self, happenings: "asyncio.Queue[Happening | None]") -> None:
        while True:
            event = await happenings.get()
            if event is None:
                self._wake.set()
            else:
                await self.happened(event)

    async def _reconciling(self) -> None:
        while True:
            self._wake.clear()
            await self.reconcile()
            try:
                await asyncio.wait_for(self._wake.wait(), self._every)
            except TimeoutError:
                continue

    # --- one container ---------------------------------------------------------------------------

    def _see(self, running: Running, kind: EventKind) -> None:
        seen = self._seen.get(running.key)
        if seen is None:
            seen = self._seen[running.key] = _Seen(running)
            self._pending.append(
                _event(running, kind, self._host(running), self._parts.clock.now())
            )
            logs.logger().info(
                "running", runtime=running.runtime, container=running.id[:12], image=running.image,
                top=running.top or "", how=str(kind),
            )  # fmt: skip
            seen_before = kind is EventKind.SIGHTING and self._first
            if not seen_before:
                self._tell_new(running)
        if running.key not in self._judging:
            task = asyncio.create_task(self._judge(seen))
            self._judging[running.key] = task
            task.add_done_callback(partial(self._judged, running.key))

    def _judged(self, key: str, task: "asyncio.Task[None]") -> None:
        self._judging.pop(key, None)
        if not task.cancelled() and task.exception() is not None:
            logs.logger().error("defect", exc_info=task.exception(), container=key)

    def _ended(self, key: str) -> None:
        seen = self._seen.pop(key)
        now = self._parts.clock.now()
        self._pending.append(_event(seen.running, EventKind.STOP, self._host(seen.running), now))

    async def _judge(self, seen: _Seen) -> None:
        async with self._slots:
            running = seen.running
            context = self._context(running)
            if running.identity is None and running.top is None:
                answer = self._parts.decider.forbid(
                    context,
                    "nobody can tell what it runs: it stands on no layers that have a name",
                    "start it from an image",
                    running.image,
                )
            else:
                question = await asyncio.to_thread(self._question, running, context)
                answer = await self._parts.decider.ask(question)
            if answer.cause is Cause.UNAVAILABLE:
                if seen.answer is None or seen.answer.cause is not Cause.UNAVAILABLE:
                    self._parts.decider.note(context, answer)
                    logs.logger().warning("not judged", container=running.id[:12],
                                          said=answer.reason)  # fmt: skip
                seen.answer = seen.answer or answer
                return
            await self._answered(seen, answer, context)

    def _question(self, running: Running, context: Context) -> Question:
        """By what the runtime says it is; else by any image of the index with the same layers."""
        names = [*running.references]
        if running.identity is not None:
            names.append(str(running.identity))
        if running.runtime != "docker" and running.top is not None:
            # The name is only a name here: the layers are what runs.
            try:
                tops = self._parts.index.images_with_tops([running.top])
            except LayerproofError:
                tops = []
            names += sorted(str(record.image.config_digest) for record in tops)
        identity = running.identity if running.runtime == "docker" else None
        return Question(tuple(dict.fromkeys(names)), context, None, identity, running.top)

    async def _answered(self, seen: _Seen, answer: Answer, context: Context) -> None:
        before, seen.answer = seen.answer, answer
        changed = before is None or (before.decided, before.rules) != (answer.decided, answer.rules)
        if changed:
            self._parts.decider.note(context, answer)
        if answer.decided is Decision.ADMIT:
            seen.done, seen.tries = None, 0
            return
        if changed and answer.decision is not Decision.ADMIT:
            self._tell_refused(seen.running, before, answer)
        if answer.decision is Decision.REFUSE:
            await self._react(seen, answer)

    async def _react(self, seen: _Seen, answer: Answer) -> None:
        policy = await asyncio.to_thread(self._parts.policy)
        if policy is None:
            return
        wanted = policy.running(self._context(seen.running))
        if wanted is Reaction.ALERT or seen.done is wanted or seen.tries >= _MOST_TRIES:
            return
        seen.tries += 1
        outcome = "done"
        try:
            await asyncio.to_thread(self._parts.runtime.react, seen.running, wanted)
            if wanted is Reaction.QUARANTINE:
                await asyncio.to_thread(self._parts.pull_aside, seen.running, answer.reason)
            seen.done = wanted
        except LayerproofError as error:
            outcome = error.code
            logs.logger().error("reaction failed", container=seen.running.id[:12],
                                reaction=str(wanted), said=str(error))  # fmt: skip
        self._record(seen.running, wanted, answer, outcome)

    def _record(self, running: Running, done: Reaction, answer: Answer, outcome: str) -> None:
        now = self._parts.clock.now()
        details: dict[str, object] = {
            "image": running.image,
            "top": running.top,
            "verdict": answer.verdict_id,
            "reason": answer.reason[:500],
            "undo": _UNDO[done].format(id=running.id[:12], namespace=running.namespace),
        }
        target = f"{running.runtime}:{running.id}"
        self._parts.audit(f"container.{done}", target, details, outcome)
        failed = "" if outcome == "done" else " (failed)"
        self._parts.tell(
            Notice(
                kind="reaction",
                title=f"{done}{failed}: {running.name or running.id[:12]} on {self._host(running)}",
                text=answer.reason,
                at=now,
                urgency=Urgency.CRITICAL,
                fields=_fields(running),
                about=f"{running.key} {done} {outcome}",
            )
        )

    # --- telling ---------------------------------------------------------------------------------

    def _tell_new(self, running: Running) -> None:
        """That a top layer runs which nobody saw run before."""
        if running.top is None:
            return
        try:
            known = self._parts.index.activity_of_layers([running.top]).get(running.top, ())
        except LayerproofError:
            return
        if any(a.kind in (EventKind.START, EventKind.SIGHTING) for a in known):
            return
        self._parts.tell(
            Notice(
                kind="new-layer",
                title=f"a new image runs on {self._host(running)}: {running.image}",
                text="its top layer was never seen to run before",
                at=self._parts.clock.now(),
                urgency=Urgency.INFO,
                fields=_fields(running),
                about=str(running.top),
            )
        )

    def _tell_refused(self, running: Running, before: Answer | None, answer: Answer) -> None:
        ended = before is not None and before.decided is Decision.ADMIT
        what = "is no longer trusted" if ended else "runs and is not trusted"
        self._parts.tell(
            Notice(
                kind="trust-ended" if ended else "refused",
                title=f"{running.name or running.id[:12]} on {self._host(running)} {what}",
                text=f"{answer.reason} -> {answer.remedy}",
                at=self._parts.clock.now(),
                urgency=Urgency.WARNING if answer.decided is Decision.ALERT else Urgency.CRITICAL,
                fields=_fields(running),
                about=running.key,
            )
        )

    def _unreachable(self, error: LayerproofError) -> None:
        if self._reachable:
            self._reachable = False
            logs.logger().error("runtime does not answer", said=str(error), remedy=error.remedy)
            self._parts.tell(
                Notice(
                    kind="runtime",
                    title=f"{self._parts.runtime.name} on {self._parts.host} cannot be watched",
                    text=str(error),
                    at=self._parts.clock.now(),
                    urgency=Urgency.CRITICAL,
                    about=self._parts.runtime.address,
                )
            )

    # --- the index -------------------------------------------------------------------------------

    async def _write(self) -> None:
        """Events that are not written yet; they wait while the index cannot be written."""
        events = list(self._pending)
        if not events:
            return
        try:
            await asyncio.to_thread(self._parts.index.put_events, events)
        except LayerproofError as error:
            logs.logger().warning("events wait for the index", count=len(events), said=str(error))
            return
        for _ in events:
            self._pending.popleft()

    def _context(self, running: Running) -> Context:
        namespace = running.labels.get("io.kubernetes.pod.namespace")
        inside = running.runtime == "containerd" and running.namespace == "k8s.io"
        if running.runtime == "kubernetes":
            namespace, inside = running.namespace, True
        return Context(
            self._parts.runtime.name,
            namespace if inside else None,
            self._host(running),
            running.labels or None,
        )

    def _host(self, running: Running) -> str:
        return running.host or self._parts.host


_UNDO = {
    Reaction.ALERT: "",
    Reaction.PAUSE: "unpause {id}",
    Reaction.STOP: "start {id}",
    Reaction.KILL: "start {id}",
    Reaction.QUARANTINE: "layerproof withdrawals; layerproof pull --release ID; start {id}",
}


def _offer(
    loop: asyncio.AbstractEventLoop,
    happenings: "asyncio.Queue[Happening | None]",
    event: Happening | None,
) -> None:
    def put() -> None:
        # What does not fit is lost: the next list has it.
        if not happenings.full():
            happenings.put_nowait(event)

    loop.call_soon_threadsafe(put)


def _event(running: Running, kind: EventKind, host: str, now: datetime) -> Event:
    registry = repository = ""
    digest = None
    for text in running.references:
        reference = parse_reference(text)
        if reference.transport == DOCKER:
            registry, repository, digest = reference.host, reference.repository, reference.digest
            break
    started = kind in (EventKind.START, EventKind.SIGHTING)
    event = Event(
        identity=f"{host} {running.key} {'run' if started else kind}",
        kind=kind,
        at=(running.started_at or now) if kind is EventKind.START else now,
        registry=registry,
        repository=repository,
        manifest_digest=digest,
        host=host,
        chain_id=running.top,
        details={
            "container": running.id,
            "runtime": running.runtime,
            "name": running.name[:300],
            "image": running.image[:300],
        },
    )
    return replace(event, details={**event.details, "namespace": running.namespace})


def _fields(running: Running) -> dict[str, str]:
    found = {
        "container": running.id[:12],
        "runtime": running.runtime,
        "image": running.image,
        "top layer": str(running.top or ""),
    }
    return {name: value for name, value in found.items() if value}
