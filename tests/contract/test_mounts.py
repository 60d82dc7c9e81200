"""Mounts of blobs, as every index keeps them: by blob, and never as deeds around an image."""

from typing import Any

from tests.contract.index_examples import MONDAY, TUESDAY, event, image

from layerproof.engine.mounts import mounts_of_layer
from layerproof.engine.ports import Index
from layerproof.model.activity import layer_context
from layerproof.model.digest import Digest
from layerproof.model.event import Event, EventKind


def mount(name: str, blob: Digest, **more: Any) -> Event:
    said = {"details": {"fromRepository": "team/app"}, "repository": "other/app", "tag": "", **more}
    return event(name, kind=EventKind.MOUNT, manifest_digest=None, blob_digest=blob, **said)


def blob_of(position: int) -> Digest:
    found = image("ab").layers[position].blob
    assert found is not None
    return found.digest


def test_a_mount_comes_back_equal(index: Index) -> None:
    found = mount("m", blob_of(0))
    index.put_events([found])
    assert list(index.events()) == [found]
    (account,) = index.accounts()
    assert account.counts == {EventKind.MOUNT: 1}


def test_a_layer_has_the_mounts_of_its_blob_through_images_that_hold_it(index: Index) -> None:
    both = image("ab")
    bottom, top = both.layers
    index.put_events(
        [
            mount("m-1", blob_of(0), at=TUESDAY),
            mount("m-2", blob_of(0), at=MONDAY),
            mount("m-3", blob_of(0), account="bob", repository="third/app", at=TUESDAY),
            event("p-1"),
        ]
    )
    assert mounts_of_layer(index, bottom.chain_id) == ()  # no image tells what the blob holds
    index.put_image(both, [], MONDAY)
    alice, bob = mounts_of_layer(index, bottom.chain_id)
    assert (alice.account, alice.repository, alice.count) == ("alice", "other/app", 2)
    assert (alice.first_at, alice.last_at) == (MONDAY, TUESDAY)
    assert (bob.account, bob.repository, bob.count) == ("bob", "third/app", 1)
    assert mounts_of_layer(index, top.chain_id) == ()


def test_a_layer_that_was_mounted_keeps_who_pushed_it_and_where(index: Index) -> None:
    both = image("ab")
    index.put_image(both, [], MONDAY)
    index.put_events([event("p-1"), mount("m-1", blob_of(0), account="mallory")])
    chain = both.layers[0].chain_id
    deeds = index.activity_of_layers([chain])[chain]
    context = layer_context(deeds, mounts_of_layer(index, chain))
    assert context.pushers == ("alice@registry.example:5000",)
    # Whoever mounts a blob has pushed no image yet: it stands in no other repository.
    assert context.repositories == ("registry.example:5000/team/app",)
    assert [item.account for item in context.mounts] == ["mallory"]


def test_a_mount_of_a_blob_that_is_a_manifest_is_no_deed_of_the_image(index: Index) -> None:
    """Anybody may upload the bytes of a manifest as a blob, and mount that."""
    both = image("ab")
    assert both.manifest_digest is not None
    index.put_image(both, [], MONDAY)
    index.put_events([event("p-1"), mount("m-1", both.manifest_digest, account="mallory")])
    chain = both.layers[0].chain_id
    deeds = index.activity_of_layers([chain])[chain]
    assert {item.account for item in deeds} == {"alice"}
    of_image = index.activity_of_images([both.manifest_digest])[both.manifest_digest]
    assert {item.kind for item in of_image} == {EventKind.PUSH}
    assert {p.account for p in index.pushers_of_layers([chain])[chain]} == {"alice"}


def test_no_verdict_is_made_again_for_a_mount(index: Index) -> None:
    before = index.state()
    index.put_events([mount("m-1", blob_of(0))])
    assert index.state() == before
