"""A decision is answered from the index exactly as long as nothing that it depends on changes."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from tests.unit.rules.facts_builder import NOW, make_image, make_trust

from layerproof.engine.decide import decide, decide_at, kept_policy
from layerproof.engine.ports import Index
from layerproof.errors import IndexUnavailableError, PolicyError
from layerproof.model.digest import Digest
from layerproof.model.event import Event, EventKind
from layerproof.model.facts import Context
from layerproof.model.finding import Effect
from layerproof.model.image import Image
from layerproof.model.record import VerdictRecord
from layerproof.model.verdict import Decision
from layerproof.model.withdrawal import Withdrawal
from layerproof.policy.defaults import DEFAULT_POLICY
from layerproof.policy.exceptions import PolicyException
from layerproof.policy.model import Policy
from layerproof.testing.index import MemoryIndex

BASE = make_image("os", reference="docker://registry.example/base:1")
APP = make_image("os", "app")
LENIENT = replace(
    DEFAULT_POLICY,
    rules={n: replace(rule, effect=Effect.ALERT) for n, rule in DEFAULT_POLICY.rules.items()},
)
LATER = NOW + timedelta(hours=1)


def an_index() -> MemoryIndex:
    index = MemoryIndex()
    index.put_image(BASE, [], NOW)
    index.put_image(APP, [], NOW)
    index.put_trust(make_trust(BASE))
    return index


def ask(
    index: Index,
    now: datetime = NOW,
    image: Image = APP,
    policy: Policy = LENIENT,
    context: Context | None = None,
    analysers: str = "dpkg@1",
) -> VerdictRecord:
    return decide(index, image, policy, now, analysers, context or Context())


def withdrawal(**more: object) -> Withdrawal:
    top = APP.layers[-1]
    record = Withdrawal("w1", top.chain_id, top.diff_id, APP.reference, "alice", NOW, "evil")
    return replace(record, **more)  # type: ignore[arg-type]


def test_the_same_question_is_answered_from_the_index() -> None:
    index = an_index()
    first = ask(index)
    assert ask(index, LATER) == first
    assert list(index.verdicts()) == [first]


@pytest.mark.parametrize(
    "again",
    [
        lambda index: ask(index, LATER, policy=DEFAULT_POLICY),
        lambda index: ask(index, LATER, analysers="dpkg@2"),
        lambda index: ask(index, LATER, context=Context(gate="kubernetes")),
        lambda index: ask(index, LATER, context=Context(namespace="prod")),
        lambda index: ask(index, LATER, context=Context(labels={"a": "b"})),
        lambda index: ask(index, LATER, image=replace(APP, reference="oci:elsewhere")),
    ],
    ids=["policy", "analysers", "gate", "namespace", "labels", "reference"],
)
def test_another_question_is_another_verdict(again: Callable[[Index], VerdictRecord]) -> None:
    index = an_index()
    first = ask(index)
    assert again(index).made_from != first.made_from
    assert len(list(index.verdicts())) == 2


@pytest.mark.parametrize(
    "change",
    [
        lambda index: index.put_image(make_image("other"), [], LATER),
        lambda index: index.put_trust(
            replace(make_trust(BASE), revoked_at=LATER, revoked_by="bob", revoke_reason="old")
        ),
        lambda index: index.put_events([Event("1", EventKind.PUSH, NOW)]),
        lambda index: index.put_withdrawals([withdrawal()]),
    ],
    ids=["image", "revoked trust", "event", "withdrawal"],
)
def test_a_change_of_the_index_asks_the_rules_again(change: Callable[[Index], object]) -> None:
    index = an_index()
    first = ask(index)
    change(index)
    assert ask(index, LATER).decided_at == LATER
    assert ask(index, LATER).made_from != first.made_from


def test_a_verdict_ends_with_the_trust_that_it_stands_on() -> None:
    index = MemoryIndex()
    index.put_image(APP, [], NOW)
    end = NOW + timedelta(days=3)
    index.put_trust(make_trust(BASE, expires_at=end))
    first = ask(index)
    assert (first.holds_until, first.verdict.base is not None) == (end, True)
    assert ask(index, end - timedelta(microseconds=1)) == first
    after = ask(index, end)
    assert (after.decided_at, after.verdict.base) == (end, None)
    assert len(list(index.verdicts())) == 2
    assert ask(index, end - timedelta(microseconds=1)) == first  # it is still told as it was


def test_a_verdict_ends_with_an_exception_and_begins_with_a_withdrawal() -> None:
    index = an_index()
    exception = PolicyException(
        images=(str(APP.manifest_digest),),
        rules=tuple(DEFAULT_POLICY.rules),
        reason="x",
        owner="alice",
        until="2026-06-01",
    )
    policy = replace(LENIENT, exceptions=(exception,))
    assert ask(index, policy=policy).holds_until.isoformat() == "2026-06-02T00:00:00+00:00"
    index.put_withdrawals([withdrawal(withdrawn_at=LATER)])
    record = ask(index, policy=policy)
    assert (record.holds_until, record.verdict.decision) == (LATER, Decision.ADMIT)
    assert ask(index, LATER, policy=policy).verdict.decision is Decision.REFUSE


def test_a_verdict_as_of_another_time_is_not_kept() -> None:
    index = an_index()
    long_ago = NOW - timedelta(days=1000)
    record = decide_at(index, APP, LENIENT, long_ago, "dpkg@1")
    assert (record.decided_at, record.verdict.base) == (long_ago, None)
    assert list(index.verdicts()) == []


def test_a_kept_verdict_can_be_made_again_with_its_own_policy() -> None:
    index = an_index()
    kept = ask(index)
    policy = kept_policy(index, kept)
    again = decide_at(index, APP, policy, kept.decided_at, "dpkg@1", kept.context)
    assert again == kept


def test_a_verdict_whose_policy_is_gone_says_so() -> None:
    index = an_index()
    kept = ask(index)
    other = replace(kept, verdict=replace(kept.verdict, inputs={"policy": Digest.of(b"gone")}))
    with pytest.raises(PolicyError, match="is not in the index"):
        kept_policy(index, other)


def test_an_index_that_can_only_be_read_decides_all_the_same() -> None:
    class ReadOnly(MemoryIndex):
        def put_verdict(self, record: VerdictRecord) -> None:
            raise IndexUnavailableError("can only be read")

    index = ReadOnly()
    index.put_image(APP, [], NOW)
    assert ask(index).verdict.decision is Decision.ALERT
    assert list(index.verdicts()) == []
