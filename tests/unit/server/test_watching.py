"""What runs is found, judged and answered, also when everything that helps is lost. In memory."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.unit.attacks.world import NOW, policy
from tests.unit.gates.docker_world import EVIL, GOOD, GateWorld, reading

from layerproof.engine.notices import Notice, Throttle
from layerproof.engine.trust import add_trust, revoke_trust
from layerproof.errors import IndexUnavailableError, UnreachableError
from layerproof.model.event import EventKind
from layerproof.model.gate import Reaction
from layerproof.model.running import Running
from layerproof.monitors.interface import Change, Happening
from layerproof.policy.defaults import DEFAULT_POLICY
from layerproof.server.decisions import Decisions, Freshness
from layerproof.server.gating import Gating
from layerproof.server.tallies import Tallies
from layerproof.server.watching import Parts, Watching
from layerproof.testing.images import BuiltImage, build


@dataclass
class FakeRuntime:
    """A runtime whose events are lost unless a test sends them."""

    name: str = "docker"
    address: str = "test"
    runs: dict[str, Running] = field(default_factory=dict)
    reactions: list[tuple[str, Reaction]] = field(default_factory=list)
    gone: bool = False
    stubborn: bool = False

    def start(self, name: str, built: BuiltImage, **more: Any) -> None:
        running = Running(
            name, self.name, NOW, name=name, image=f"{name}:1",
            identity=built.config_digest, top=built.chain_ids[-1],
        )  # fmt: skip
        self.runs[name] = replace(running, **more)

    def running(self) -> Sequence[Running]:
        if self.gone:
            raise UnreachableError("no answer", where="test")
        return list(self.runs.values())

    def inspect(self, id: str, namespace: str = "") -> Running | None:
        return self.runs.get(id)

    @contextmanager
    def events(self) -> Iterator[Iterator[Happening]]:
        yield iter(())

    def react(self, running: Running, reaction: Reaction) -> None:
        if self.stubborn:
            raise UnreachableError("no answer", where="test")
        self.reactions.append((running.id, reaction))
        if reaction is not Reaction.PAUSE:
            self.runs.pop(running.id, None)

    def readable(self, running: Running) -> AbstractContextManager[str]:
        return nullcontext("")


@dataclass
class Watched:
    """A watched runtime and all that came of it."""

    gate: GateWorld
    runtime: FakeRuntime = field(default_factory=FakeRuntime)
    notices: list[Notice] = field(default_factory=list)
    audit: list[tuple[str, str, str]] = field(default_factory=list)
    pulled: list[str] = field(default_factory=list)

    def during(self, *steps: Callable[[Watching], Awaitable[None] | None]) -> None:
        """Steps, one after the other; after each, everything is judged."""
        asyncio.run(self._during(steps))

    @property
    def told(self) -> list[str]:
        return [notice.kind for notice in self.notices if notice.kind != "new-layer"]

    def events(self) -> list[tuple[str, str]]:
        found = self.gate.world.index.events()
        return sorted((str(e.kind), str(e.details["container"])) for e in found)

    async def _during(self, steps: Any) -> None:
        gate = self.gate
        freshness, decisions = Freshness(reading(gate.service)), Decisions(gate.service, 2)
        tallies = Tallies(gate.ledger.add_tallies, gate.clock)
        gating = Gating(gate.service, freshness, decisions, tallies, kept=gate.kept)
        parts = Parts(
            runtime=self.runtime,
            decider=gating,
            index=gate.world.index,
            policy=gating.policy,
            clock=gate.clock,
            host="node-1",
            tell=self.notices.append,
            audit=lambda action, target, _, outcome: self.audit.append((action, target, outcome)),
            pull_aside=lambda running, _: self.pulled.append(running.id),
        )
        watching = Watching(parts)
        try:
            for step in steps:
                done = step(watching)
                if done is not None:
                    await done
                await watching.settle()
        finally:
            tallies.close()
            decisions.close()


def again(watching: Watching) -> Awaitable[None]:
    return watching.reconcile()


def with_policy(folder: Path, text: str = "") -> Watched:
    return Watched(GateWorld(folder, policy(text) if text else DEFAULT_POLICY))


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return with_policy(tmp_path)


def test_what_runs_already_is_found_and_told_when_it_is_not_trusted(watched: Watched) -> None:
    watched.runtime.start("good", GOOD)
    watched.runtime.start("evil", EVIL)
    watched.during(again)
    assert watched.told == ["refused"]
    assert "evil" in watched.notices[-1].title
    assert watched.events() == [("sighting", "evil"), ("sighting", "good")]
    assert watched.runtime.reactions == []  # to tell is the default


def test_start_is_an_event_with_host_and_top_layer_and_so_is_its_end(watched: Watched) -> None:
    watched.runtime.start("good", GOOD)

    def end(watching: Watching) -> Awaitable[None]:
        del watched.runtime.runs["good"]
        return watching.happened(Happening(Change.STOPPED, "good"))

    watched.during(lambda w: w.happened(Happening(Change.STARTED, "good")), again, end, again)
    assert watched.events() == [("start", "good"), ("stop", "good")]
    (start,) = [e for e in watched.gate.world.index.events() if e.kind is EventKind.START]
    assert (start.host, start.chain_id) == ("node-1", GOOD.chain_ids[-1])


def test_every_event_is_lost_and_the_list_finds_it(watched: Watched) -> None:
    def start(_: Watching) -> None:
        watched.runtime.start("evil", EVIL)

    watched.during(again, start, again)
    assert watched.told == ["refused"]


def test_event_of_what_has_ended_already_harms_nothing(watched: Watched) -> None:
    watched.during(lambda w: w.happened(Happening(Change.STARTED, "gone")), again)
    assert watched.events() == []


def test_trust_that_is_revoked_while_it_runs_is_found(watched: Watched) -> None:
    watched.runtime.start("good", GOOD)
    index = watched.gate.world.index

    def revoke(_: Watching) -> None:
        (record,) = index.trust_records()
        revoke_trust(index, record.id, by="b", reason="r", now=NOW)

    watched.during(again, revoke, again, again)
    assert watched.told == ["trust-ended"]  # once


def test_trust_that_expires_is_found_by_the_clock_alone(watched: Watched) -> None:
    image = watched.gate.world.read(EVIL)
    add_trust(
        watched.gate.world.index, image, by="a", reason="r", now=NOW,
        expires_at=NOW + timedelta(days=1),
    )  # fmt: skip
    watched.runtime.start("evil", EVIL)

    def later(_: Watching) -> None:
        watched.gate.clock.time = NOW + timedelta(days=2)

    watched.during(again, later, again)
    assert "trust-ended" in watched.told


@pytest.mark.parametrize("word", ["pause", "stop", "kill", "quarantine"])
def test_policy_says_what_is_done_and_the_audit_has_it(tmp_path: Path, word: str) -> None:
    watched = with_policy(tmp_path, f"gates: {{docker: {{running: {word}}}}}\n")
    watched.runtime.start("good", GOOD)
    watched.runtime.start("evil", EVIL)
    watched.during(again, again, again)
    assert watched.runtime.reactions == [("evil", Reaction(word))]  # once, and only to this one
    assert watched.audit == [(f"container.{word}", "docker:evil", "done")]
    assert watched.pulled == (["evil"] if word == "quarantine" else [])


@pytest.mark.parametrize("mode", ["observe", "alert"])
def test_nothing_is_done_to_a_container_unless_the_mode_is_enforce(
    tmp_path: Path, mode: str
) -> None:
    watched = with_policy(tmp_path, f"mode: {mode}\ngates: {{docker: {{running: kill}}}}\n")
    watched.runtime.start("evil", EVIL)
    watched.during(again)
    assert watched.runtime.reactions == []
    assert watched.told == ([] if mode == "observe" else ["refused"])


def test_index_that_is_gone_kills_nothing_and_loses_no_event(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = with_policy(tmp_path, "gates: {docker: {running: kill}}\n")
    watched.runtime.start("good", GOOD)
    kind = type(watched.gate.world.index)
    real = kind.state, kind.put_events

    def gone(*_: object) -> Any:
        raise IndexUnavailableError("no connection")

    def lose(_: Watching) -> None:
        monkeypatch.setattr(kind, "state", gone)
        monkeypatch.setattr(kind, "put_events", gone)

    def back(_: Watching) -> None:
        monkeypatch.setattr(kind, "state", real[0])
        monkeypatch.setattr(kind, "put_events", real[1])

    def start(_: Watching) -> None:
        watched.runtime.start("evil", EVIL)

    watched.during(again, lose, start, again, again)
    assert watched.runtime.reactions == []
    back(None)  # type: ignore[arg-type]  # because it looks at nothing
    watched.during(again)
    assert watched.runtime.reactions == [("evil", Reaction.KILL)]
    assert ("sighting", "evil") in watched.events()


def test_container_that_nobody_can_name_is_refused(tmp_path: Path) -> None:
    watched = with_policy(tmp_path, "gates: {docker: {running: kill}}\n")
    watched.runtime.start("odd", GOOD, identity=None, top=None)
    watched.during(again)
    assert watched.runtime.reactions == [("odd", Reaction.KILL)]
    assert "nobody can tell" in watched.notices[-1].text


def test_unknown_image_that_runs_is_answered_as_undecided(tmp_path: Path) -> None:
    watched = with_policy(tmp_path, "gates: {docker: {undecided: admit, running: kill}}\n")
    watched.runtime.start("new", build([{"etc/x": "y"}]))
    watched.during(again)
    assert watched.runtime.reactions == []


def test_image_name_that_was_retagged_in_containerd_does_not_hide_what_runs(tmp_path: Path) -> None:
    watched = with_policy(tmp_path, "gates: {containerd: {running: kill}}\n")
    watched.runtime = FakeRuntime("containerd")
    # It says that it is the good image; its snapshot stands on the layers of the other.
    watched.runtime.start("x", GOOD, top=EVIL.chain_ids[-1], namespace="default")
    watched.during(again)
    assert watched.runtime.reactions == [("x", Reaction.KILL)]


def test_runtime_that_does_not_answer_is_told_once_and_recovers(watched: Watched) -> None:
    watched.runtime.start("evil", EVIL)

    def lose(_: Watching) -> None:
        watched.runtime.gone = True

    def back(_: Watching) -> None:
        watched.runtime.gone = False

    watched.during(again, lose, again, again, back, again)
    assert watched.told == ["refused", "runtime"]
    assert watched.events() == [("sighting", "evil")]


def test_reaction_that_fails_is_tried_again_and_not_for_ever(tmp_path: Path) -> None:
    watched = with_policy(tmp_path, "gates: {docker: {running: kill}}\n")
    watched.runtime.start("evil", EVIL)
    watched.runtime.stubborn = True
    watched.during(*[again] * 9)
    assert watched.audit == [("container.kill", "docker:evil", "unreachable")] * 5


def test_first_run_of_a_layer_anywhere_is_told_and_the_second_is_not(watched: Watched) -> None:
    def start(name: str) -> Callable[[Watching], Awaitable[None]]:
        def step(watching: Watching) -> Awaitable[None]:
            watched.runtime.start(name, GOOD)
            return watching.happened(Happening(Change.STARTED, name))

        return step

    watched.during(again, start("a"), again, start("b"), again)
    assert [n.kind for n in watched.notices] == ["new-layer"]


# --- notices -------------------------------------------------------------------------------------


def notice(about: str, seconds: int = 0, title: str = "t") -> Notice:
    return Notice("refused", title, "x", NOW + timedelta(seconds=seconds), about=about)


def test_same_notice_is_told_once_an_hour() -> None:
    throttle = Throttle()
    passed = [throttle.passes(notice("a", s)) is not None for s in (0, 10, 3599, 3600)]
    assert passed == [True, False, False, True]


def test_flood_of_notices_is_held_back_and_counted() -> None:
    throttle = Throttle(most=3, period=timedelta(minutes=1))
    passed = [throttle.passes(notice(str(n), n)) for n in range(10)]
    assert [p is not None for p in passed] == [True] * 3 + [False] * 7
    later = throttle.passes(notice("z", 100))
    assert later is not None
    assert later.held_back == 7


def test_clock_that_is_set_back_does_not_silence_notices() -> None:
    throttle = Throttle(most=1)
    assert throttle.passes(notice("a", 1000)) is not None
    assert throttle.passes(notice("a", 0)) is not None


def test_name_of_an_image_reaches_no_terminal_as_it_is() -> None:
    passed = Throttle().passes(notice("a", title="x\x1b[2J\nBcc: all"))
    assert passed is not None
    assert "\x1b" not in passed.title
    assert "\n" not in passed.title
