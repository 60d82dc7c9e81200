"""What events add up to, around images and around layers, and what stays when events go."""

from dataclasses import replace
from datetime import timedelta

from tests.contract.index_examples import (
    MONDAY,
    ODD_TEXTS,
    TUESDAY,
    WEDNESDAY,
    chains,
    event,
    image,
    saved,
    unknown_chain,
)

from layerproof.engine.ports import Index
from layerproof.model.activity import Activity, layer_context
from layerproof.model.digest import ChainId, Digest
from layerproof.model.event import Event, EventKind
from layerproof.model.identity import Account, Pusher
from layerproof.model.retention import Retention

FRIDAY = MONDAY + timedelta(days=4)


def bottom() -> ChainId:
    return image().layers[0].chain_id


def push(name: str, **more: object) -> Event:
    return event(name, **{"country": "DE", **more})


def around(index: Index, chain_id: ChainId) -> tuple[Activity, ...]:
    return index.activity_of_layers([chain_id]).get(chain_id, ())


def test_nothing_was_done_with_what_nobody_reported(index: Index) -> None:
    index.put_image(image(), chains(image()), MONDAY)
    assert index.activity_of_layers([bottom(), unknown_chain()]) == {}
    assert index.activity_of_images([Digest.of(b"x")]) == {}
    assert index.activity_of_layers([]) == {}
    assert index.accounts() == []


def test_events_of_one_image_add_up_in_whatever_order_they_come(index: Index) -> None:
    index.put_image(image(), chains(image()), MONDAY)
    index.put_events([push("b", at=WEDNESDAY)])
    index.put_events([push("a", at=MONDAY), push("c", at=TUESDAY)])
    expected = Activity(
        EventKind.PUSH,
        "registry.example:5000",
        "team/app",
        "alice",
        "DE",
        "",
        MONDAY,
        WEDNESDAY,
        3,
    )
    digest = image().manifest_digest
    assert digest is not None
    assert index.activity_of_images([digest]) == {digest: (expected,)}
    assert around(index, bottom()) == (expected,)
    assert layer_context(around(index, bottom())).push_cadence == timedelta(days=1)


def test_the_same_report_counts_once_together_and_apart(index: Index) -> None:
    index.put_image(image(), chains(image()), MONDAY)
    assert index.put_events([push("a"), push("a"), push("b"), push("a")]) == 2
    assert index.put_events([push("b"), push("a")]) == 0
    # Another text under a known identity is the same report, however it differs.
    assert index.put_events([push("a", at=FRIDAY, account="mallory", kind=EventKind.PULL)]) == 0
    (found,) = around(index, bottom())
    assert (found.count, found.account, found.last_at) == (2, "alice", MONDAY)


def test_a_layer_has_the_context_of_every_image_that_holds_it_at_its_place(index: Index) -> None:
    for names in ("ab", "ac", "ca"):
        index.put_image(image(names), chains(image(names)), MONDAY)
    digests = {names: image(names).manifest_digest for names in ("ab", "ac", "ca")}
    index.put_events(
        [
            push("1", manifest_digest=digests["ab"], at=TUESDAY),
            push("2", manifest_digest=digests["ac"], account="bob", repository="b", country="FR"),
            push("3", manifest_digest=digests["ca"], account="eve", repository="c"),
            push(
                "4",
                manifest_digest=digests["ac"],
                kind=EventKind.PULL,
                account="carol",
                at=WEDNESDAY,
                country="office",
            ),
            push(
                "5",
                manifest_digest=digests["ab"],
                kind=EventKind.MOUNT,
                repository="m",
                account="bob",
            ),
            push("6", manifest_digest=digests["ac"], kind=EventKind.START, host="n1", account=""),
        ]
    )
    context = layer_context(around(index, bottom()))
    host = "registry.example:5000"
    # Not m: mounts are about blobs, and come by `mounts_of_blobs`.
    assert context.repositories == (f"{host}/b", f"{host}/team/app")
    assert context.pushers == (f"alice@{host}", f"bob@{host}")  # not eve: another place
    assert context.pullers == (f"carol@{host}",)
    assert context.countries == ("DE", "FR", "office")
    assert context.hosts == ("n1",)
    assert (context.first_seen, context.last_seen) == (MONDAY, WEDNESDAY)
    assert (context.pushes, context.pulls, context.starts) == (2, 1, 1)
    top = image("ca").layers[0].chain_id
    assert {item.account for item in around(index, top)} == {"eve"}


def test_events_that_came_before_their_image_count_too(index: Index) -> None:
    index.put_events([push("a")])
    assert around(index, bottom()) == ()
    index.put_image(image(), chains(image()), TUESDAY)
    assert [item.count for item in around(index, bottom())] == [1]
    assert index.pushers_of_layers([bottom()]) == {
        bottom(): (Pusher("registry.example:5000", "alice", MONDAY),)
    }


def test_one_push_counts_once_however_many_views_and_names_an_image_has(index: Index) -> None:
    """The same manifest, seen alone, chosen from an index, and under another name."""
    index.put_image(image(), chains(image()), MONDAY)
    index.put_image(image(index_digest=None, notes=()), [], TUESDAY)
    index.put_image(image(reference="docker://h/mirror:1", notes=("x",)), [], TUESDAY)
    index.put_image(saved(), [], TUESDAY)
    index.put_events([push("a"), push("b", at=TUESDAY)])
    assert [item.count for item in around(index, bottom())] == [2]
    assert layer_context(around(index, bottom())).push_cadence == timedelta(days=1)


def test_a_start_that_names_image_and_layer_counts_once_at_the_layer(index: Index) -> None:
    of = image()
    top = of.layers[-1].chain_id
    index.put_image(of, chains(of), MONDAY)
    index.put_events(
        [
            event("both", kind=EventKind.START, chain_id=top, host="n1", account=""),
            event(
                "layer",
                kind=EventKind.START,
                chain_id=top,
                host="n1",
                account="",
                manifest_digest=None,
                at=TUESDAY,
            ),
        ]
    )
    assert layer_context(around(index, top)).starts == 2
    (found,) = around(index, top)
    assert (found.count, found.first_at, found.last_at) == (2, MONDAY, TUESDAY)
    assert layer_context(around(index, bottom())).starts == 1  # by its image alone


def test_a_layer_that_no_image_holds_has_what_was_reported_of_itself(index: Index) -> None:
    started = event("s", kind=EventKind.START, chain_id=unknown_chain(), manifest_digest=None)
    index.put_events([started])
    assert [item.kind for item in around(index, unknown_chain())] == [EventKind.START]
    assert index.pushers_of_layers([unknown_chain()]) == {}


def test_activity_outlives_the_events_and_replays_of_them_are_new_events(index: Index) -> None:
    index.put_image(image(), chains(image()), MONDAY)
    index.put_events([push("a"), push("b", at=TUESDAY), push("c", at=FRIDAY)])
    before = index.accounts(), around(index, bottom()), index.pushers_of_layers([bottom()])
    assert index.prune(Retention(events=WEDNESDAY)).events == 2
    assert [item.identity for item in index.events()] == ["c"]
    assert (
        index.accounts(),
        around(index, bottom()),
        index.pushers_of_layers([bottom()]),
    ) == before


def test_accounts_are_listed_by_registry_and_name_with_all_they_did(index: Index) -> None:
    pulled = EventKind.PULL
    index.put_events(
        [
            push("1", account="bob", at=TUESDAY),
            push("2", account="Zoe"),
            push("3", account="bob", kind=pulled, at=WEDNESDAY, repository="x"),
            push("4", account="bob", kind=pulled, at=MONDAY, repository="y", country="FR"),
            push("5", account="bob", registry="a.example"),
            push("6", account=""),
            push("7", account="é"),
        ]
    )
    host = "registry.example:5000"
    one = {EventKind.PUSH: 1}
    assert index.accounts() == [
        Account("a.example", "bob", MONDAY, MONDAY, one),
        Account(host, "Zoe", MONDAY, MONDAY, one),
        Account(host, "bob", MONDAY, WEDNESDAY, {EventKind.PULL: 2, EventKind.PUSH: 1}),
        Account(host, "é", MONDAY, MONDAY, one),
    ]


def test_hostile_accounts_and_repositories_are_kept_apart(index: Index) -> None:
    """Parts that together make the same text are still different deeds."""
    index.put_image(image(), chains(image()), MONDAY)
    texts = [text for text in ODD_TEXTS if text]
    pairs = [*((text, "r") for text in texts), ("a", "br"), ("ab", "r"), ("abr", "")]
    index.put_events([push(f"e{n}", account=a, repository=r) for n, (a, r) in enumerate(pairs)])
    found = around(index, bottom())
    assert {(item.account, item.repository) for item in found} == set(pairs)
    assert {item.count for item in found} == {1}
    assert {account.account for account in index.accounts()} == {account for account, _ in pairs}


def test_the_state_changes_with_a_push_and_with_no_other_report(index: Index) -> None:
    before = index.state()
    kinds = [kind for kind in EventKind if kind is not EventKind.PUSH]
    index.put_events([event(str(kind), kind=kind) for kind in kinds])
    assert index.state() == before
    index.put_events([event("p")])
    after = index.state()
    assert after != before
    index.put_events([event("p")])  # known already
    assert index.state() == after


def test_thousands_of_layers_are_asked_for_at_once(index: Index) -> None:
    of = image("a" * 600)
    index.put_image(of, [], MONDAY)
    index.put_events([push("a"), replace(push("b"), manifest_digest=of.manifest_digest)])
    found = index.activity_of_layers([layer.chain_id for layer in of.layers])
    assert len(found) == 600
    assert {tuple(item.count for item in listed) for listed in found.values()} == {(1,)}
