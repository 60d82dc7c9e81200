"""What pruning takes, and what it never takes: nothing that a decision needs."""

from datetime import timedelta

import pytest
from tests.contract.index_examples import (
    ANALYSERS,
    MONDAY,
    TUESDAY,
    WEDNESDAY,
    blob,
    chains,
    contents,
    diff,
    event,
    image,
    trust,
    verdict_record,
    withdrawal,
)

from layerproof.engine.ports import Index
from layerproof.model.event import EventKind
from layerproof.model.image import Image
from layerproof.model.retention import Pruned, Retention
from layerproof.store import retention_rows


def indexed(index: Index, names: str, **more: object) -> Image:
    of = image(names, f"docker://h/{names}:1", **more)
    for letter in names:
        index.put_contents(contents(letter, diff_id=diff(letter)), blob(letter, letter))
    index.put_image(of, chains(of), MONDAY)
    return of


def names(index: Index) -> set[str]:
    return {record.image.reference for record in index.images()}


def test_nothing_is_pruned_where_nothing_is_said(index: Index) -> None:
    indexed(index, "ab")
    index.put_events([event()])
    index.put_verdict(verdict_record())
    assert index.prune(Retention()) == Pruned()
    assert names(index) == {"docker://h/ab:1"}


def test_events_and_verdicts_go_by_their_own_time_to_the_microsecond(index: Index) -> None:
    index.put_events([event("a", at=TUESDAY - timedelta(microseconds=1)), event("b", at=TUESDAY)])
    index.put_verdict(verdict_record("aa", decided_at=TUESDAY - timedelta(microseconds=1)))
    index.put_verdict(verdict_record("bb", decided_at=TUESDAY))
    assert index.prune(Retention(events=TUESDAY)) == Pruned(events=1)
    assert [item.identity for item in index.events()] == ["b"]
    assert index.prune(Retention(verdicts=TUESDAY)) == Pruned(verdicts=1)
    assert [record.id for record in index.verdicts()] == ["bb"]
    assert index.prune(Retention(events=TUESDAY, verdicts=TUESDAY)) == Pruned()


def test_more_rows_than_one_transaction_deletes_all_go(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention_rows, "_ROWS_AT_ONCE", 10)
    index.put_events([event(f"e{n}") for n in range(30)])
    index.put_events([event(f"late{n}", at=WEDNESDAY) for n in range(3)])
    for n in range(11):
        index.put_verdict(verdict_record(f"{n:02x}"))
    assert index.prune(Retention(events=TUESDAY, verdicts=TUESDAY)) == Pruned(30, 11)
    assert len(list(index.events())) == 3


def test_an_old_image_goes_with_all_that_only_it_holds(index: Index) -> None:
    indexed(index, "ab")
    shared = indexed(index, "ac")
    index.put_image(shared, [], WEDNESDAY)
    before = index.state()
    assert index.prune(Retention(images=TUESDAY)) == Pruned(images=1, layers=1)
    assert index.state() != before
    assert names(index) == {"docker://h/ac:1"}
    every = [diff(letter) for letter in "abc"]
    assert index.known_contents(every, ANALYSERS) == {diff("a"), diff("c")}
    assert set(index.blobs([blob(x).digest for x in "abc"]).values()) == {diff("a"), diff("c")}
    assert index.chains([image("ab").layers[1].chain_id]) == [None]
    assert index.packages_named("bash", 9)
    assert [hit.images for hit in index.usage(every, 9)] == [("docker://h/ac:1",), (),
                                                          ("docker://h/ac:1",)]  # fmt: skip
    # What is read again later is as new.
    indexed(index, "ab")
    assert index.known_contents(every, ANALYSERS) == set(every)


@pytest.mark.parametrize("kind", [EventKind.PULL, EventKind.START, EventKind.PUSH])
def test_an_image_that_was_moved_or_started_since_stays_though_events_go(
    index: Index, kind: EventKind
) -> None:
    of = indexed(index, "ab")
    index.put_events([event(kind=kind, manifest_digest=of.manifest_digest, at=WEDNESDAY)])
    later = WEDNESDAY + timedelta(days=9)
    assert index.prune(Retention(events=later, images=TUESDAY)) == Pruned(events=1)
    assert names(index) == {of.reference}
    assert index.prune(Retention(images=later)).images == 1


def test_an_image_that_was_seen_since_under_any_name_stays(index: Index) -> None:
    of = indexed(index, "ab")
    index.put_image(image("ab", "docker://h/other:1"), [], MONDAY, WEDNESDAY)
    assert index.prune(Retention(images=TUESDAY)) == Pruned()
    assert of.reference in next(iter(index.images())).names


@pytest.mark.parametrize("state", ["good", "expired", "revoked"])
def test_an_image_that_was_ever_trusted_stays_with_its_layers(index: Index, state: str) -> None:
    of = indexed(index, "ab")
    ended = {
        "good": {},
        "expired": {"expires_at": MONDAY},
        "revoked": {"revoked_by": "bob", "revoked_at": MONDAY},
    }
    index.put_trust(trust(of, **ended[state]))
    assert index.prune(Retention(images=WEDNESDAY)) == Pruned()
    assert all(row is not None for row in index.chains([layer.chain_id for layer in of.layers]))
    assert index.trust_records()


def test_layers_of_trust_stay_when_their_other_images_go(index: Index) -> None:
    """Trust may name layers of an image that was never indexed."""
    of = indexed(index, "ab")
    base = image("a", config_digest=image("zz").config_digest)
    index.put_trust(trust(base))
    assert index.prune(Retention(images=TUESDAY)) == Pruned(images=1, layers=1)
    assert index.chains([layer.chain_id for layer in of.layers])[0] is not None
    assert index.contents(diff("a")) is not None
    assert index.contents(diff("b")) is None


def test_what_decisions_need_outlives_everything(index: Index) -> None:
    of = indexed(index, "ab")
    index.put_events([event("a"), event("b", kind=EventKind.PULL, account="bob")])
    index.put_withdrawals([withdrawal(), withdrawal("w-2", released_at=MONDAY, released_by="x")])
    index.put_cached("last look", b"x")
    index.put_trust(trust(image("q"), expires_at=MONDAY))
    kept = (
        index.pushers_of_images([image().manifest_digest or of.config_digest]),
        index.accounts(), index.withdrawals(), index.trust_records(), index.cached("last look"),
    )  # fmt: skip
    late = WEDNESDAY + timedelta(days=900)
    pruned = index.prune(Retention(events=late, verdicts=late, images=late))
    assert (pruned.events, pruned.images) == (2, 1)
    assert kept == (
        index.pushers_of_images([image().manifest_digest or of.config_digest]),
        index.accounts(), index.withdrawals(), index.trust_records(), index.cached("last look"),
    )  # fmt: skip
    indexed(index, "ab")  # pushed again: who pushed it first is still known
    assert index.pushers_of_layers([of.layers[0].chain_id])[of.layers[0].chain_id][0].first_at == (
        MONDAY
    )


def test_contents_that_no_image_holds_yet_stay(index: Index) -> None:
    """They may be those of an image that is being read right now."""
    index.put_contents(contents("n", diff_id=diff("n")), blob("n", "n"))
    indexed(index, "ab")
    assert index.prune(Retention(images=WEDNESDAY)).images == 1
    assert index.contents(diff("n")) is not None
    assert index.blobs([blob("n").digest])


def test_hundreds_of_old_images_go_in_several_transactions(index: Index) -> None:
    for n in range(450):
        of = image(f"{n % 10}x", f"docker://h/x:{n}", config_digest=image(f"c{n}").config_digest)
        index.put_image(of, [], MONDAY if n else WEDNESDAY)
    assert index.prune(Retention(images=TUESDAY)).images == 449
    assert names(index) == {"docker://h/x:0"}
    assert index.chains([image("0x").layers[0].chain_id]) == [None]  # no chain rows were put
    assert index.images_with_chain(image("0x").layers[0].chain_id)
