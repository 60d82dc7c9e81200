"""What every index must do, whatever keeps it: one suite for memory, SQLite and SQLAlchemy."""

from collections.abc import Callable
from dataclasses import fields, replace
from datetime import timedelta, timezone

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.contract.index_examples import (
    ANALYSERS,
    MONDAY,
    NEWER,
    ODD_TEXTS,
    TUESDAY,
    WEDNESDAY,
    blob,
    chains,
    change,
    contents,
    diff,
    event,
    image,
    package,
    saved,
    trust,
    uint32,
    unknown_chain,
    verdict_record,
    withdrawal,
)

from layerproof.engine.ports import ContentsSummary, Hit, Index, PackageList
from layerproof.model.contents import BlobRecord, Contents
from layerproof.model.digest import ChainId, DiffId, Digest
from layerproof.model.event import EventKind
from layerproof.model.facts import Context
from layerproof.model.identity import Pusher
from layerproof.model.image import Descriptor
from layerproof.model.package import Package, PackageChangeKind, PackageType
from layerproof.model.page import Page

# --- contents ----------------------------------------------------------------------------------


def test_an_empty_index_knows_nothing(index: Index) -> None:
    assert index.known_contents([diff("a")], ANALYSERS) == set()
    assert index.contents(diff("a")) is None
    assert index.entries(diff("a")) is None
    assert index.contents_summaries([diff("a")]) == {}
    assert index.layer_facts([diff("a")]) == {}
    assert index.package_lists([diff("a")]) == {}
    assert index.blobs([blob().digest]) == {}
    assert index.known_chains([unknown_chain()], ANALYSERS) == set()
    assert index.chains([unknown_chain()]) == [None]
    assert index.image_by_manifest(Digest.of(b"")) is None
    assert index.image_by_config(Digest.of(b"")) is None
    assert index.images_by_name("x") == []
    assert list(index.images()) == []
    assert index.images_with_chain(unknown_chain()) == []
    assert index.contents_with_path_hash(1, 9) == Page(())
    assert index.contents_with_file_hash(1, 9) == Page(())
    assert index.chains_with_path_hash(1, 9) == Page(())
    assert index.changes_with_path_hash([unknown_chain()], 1) == {}
    assert index.packages_named("bash", 9) == []
    assert index.package_changes_named("bash", 9) == []
    assert index.usage([diff("a")], 9) == [Hit(diff("a"), (), ())]
    assert index.trust_records() == []
    assert index.trust_of([unknown_chain()]) == []
    assert list(index.events()) == []
    assert index.pushers_of_layers([unknown_chain()]) == {}
    assert index.pushers_of_images([Digest.of(b"")]) == {}
    assert index.images_with_tops([unknown_chain()]) == []
    assert index.withdrawals() == []
    assert index.withdrawals_of([unknown_chain()], [diff("a")]) == []
    assert index.verdict(bytes(32), MONDAY) is None
    assert index.verdicts_by_id("a1") == []
    assert list(index.verdicts()) == []
    assert index.state() == index.state()
    assert index.cached("x") is None


def test_asking_for_nothing_yields_nothing(index: Index) -> None:
    index.put_contents(contents(), blob())
    index.put_image(image(), chains(image()), MONDAY)
    index.put_trust(trust(image()))
    assert index.known_contents([], ANALYSERS) == set()
    assert index.known_chains(set(), ANALYSERS) == set()
    assert index.chains([]) == []
    assert index.blobs([]) == {}
    assert index.usage([], 9) == []
    assert index.trust_of([]) == []
    assert index.package_lists([]) == {}


def test_contents_come_back_equal(index: Index) -> None:
    row = contents()
    index.put_contents(row, blob())
    assert index.contents(row.diff_id) == row
    assert index.entries(row.diff_id) == row.entries
    assert index.entries_of([row.diff_id, diff("unknown")]) == {row.diff_id: row.entries}
    assert index.layer_facts([row.diff_id]) == {row.diff_id: row.facts}
    assert index.package_lists({row.diff_id}) == {
        row.diff_id: PackageList(row.packages, row.package_files)
    }
    assert index.contents_summaries([row.diff_id]) == {
        row.diff_id: ContentsSummary(
            row.diff_id, ANALYSERS, row.size, row.entry_count, row.file_bytes, row.skipped
        )
    }


def test_contents_without_anything_come_back_equal(index: Index) -> None:
    row = contents(
        entries=b"",
        path_filter=b"",
        file_filter=b"",
        packages=(),
        package_files=(),
        facts={},
        skipped=(),
        size=0,
        entry_count=0,
        file_bytes=0,
    )
    index.put_contents(row, None)
    assert index.contents(row.diff_id) == row
    assert index.package_lists([row.diff_id]) == {row.diff_id: PackageList((), ())}
    assert index.contents_with_path_hash(0, 9) == Page(())


def test_contents_are_known_for_exactly_their_analysers(index: Index) -> None:
    index.put_contents(contents("a"), None)
    index.put_contents(contents("b", analysers=NEWER), None)
    asked = [diff("a"), diff("b"), diff("c"), diff("a")]
    assert index.known_contents(asked, ANALYSERS) == {diff("a")}
    assert index.known_contents(asked, NEWER) == {diff("b")}
    assert index.known_contents(asked, "dpkg@2") == set()


def test_the_same_contents_again_change_nothing(index: Index) -> None:
    index.put_contents(contents(), blob())
    index.put_contents(contents(), blob())
    assert index.contents(diff("a")) == contents()
    assert len(index.packages_named("bash", 9)) == 1
    assert index.contents_with_path_hash(2, 9) == Page((diff("a"),))


def test_contents_of_the_same_analysers_are_kept_as_they_are(index: Index) -> None:
    index.put_contents(contents(), None)
    index.put_contents(contents(size=1, packages=()), None)
    assert index.contents(diff("a")) == contents()


def test_contents_of_other_analysers_are_replaced_whole(index: Index) -> None:
    index.put_contents(contents(), blob())
    newer = contents(
        analysers=NEWER,
        packages=(package("zsh"),),
        entries=b"new",
        path_filter=uint32(7),
        file_filter=uint32(8),
        facts={"a": 1},
    )
    index.put_contents(newer, blob())
    assert index.contents(diff("a")) == newer
    assert index.known_contents([diff("a")], ANALYSERS) == set()
    assert index.packages_named("bash", 9) == []
    assert index.packages_named("zsh", 9) == [(diff("a"), package("zsh"))]
    assert index.contents_with_path_hash(2, 9) == Page(())
    assert index.contents_with_file_hash(8, 9) == Page((diff("a"),))
    assert index.blobs([blob().digest]) == {blob().digest: diff("a")}


def test_thousands_of_layers_are_asked_for_at_once(index: Index) -> None:
    for n in range(0, 1300, 100):
        index.put_contents(contents(str(n), packages=(package(str(n)),)), blob(str(n), str(n)))
    every = [diff(str(n)) for n in range(1300)]
    there = {diff(str(n)) for n in range(0, 1300, 100)}
    assert index.known_contents(every, ANALYSERS) == there
    assert set(index.contents_summaries(every)) == there
    assert index.package_lists(every)[diff("1200")].packages == (package("1200"),)
    assert set(index.blobs([blob(str(n)).digest for n in range(1300)]).values()) == there
    assert [hit.diff_id for hit in index.usage(every, 9)] == every


def test_digests_of_sha512_are_kept_apart_from_those_of_sha256(index: Index) -> None:
    long = DiffId("sha512:" + "ab" * 64)
    short = DiffId("sha256:" + "ab" * 32)
    index.put_contents(contents(diff_id=long), BlobRecord(Digest(long), long, 1, "tar"))
    assert index.known_contents([long, short], ANALYSERS) == {long}
    assert index.blobs([Digest(long), Digest(short)]) == {Digest(long): long}


@pytest.mark.parametrize("odd", ODD_TEXTS, ids=ascii)
def test_hostile_text_comes_back_and_is_found(index: Index, odd: str) -> None:
    strange = Package(PackageType.NPM, odd, odd, odd.encode("utf-8", "surrogatepass"), *[odd] * 5)
    index.put_contents(contents(packages=(strange,), skipped=((odd, b"x", odd),)), None)
    of = image(reference=f"oci:{odd}", notes=(odd,))
    index.put_image(of, [], MONDAY)
    index.put_cached(odd, b"value")
    record = trust(of, identity=f"id {odd}", revoked_by=odd, revoke_reason=odd)
    index.put_trust(record)
    report = event(odd, account=odd, repository=odd, tag=odd, registry=odd, address=odd)
    index.put_events([report])
    gone = withdrawal(odd, reason=odd, reference=odd, withdrawn_by=odd)
    index.put_withdrawals([gone])
    judged = verdict_record(odd, of)
    index.put_verdict(judged)
    assert list(index.events()) == [report]
    assert index.withdrawals() == [gone]
    assert list(index.verdicts()) == [judged]
    assert index.packages_named(odd, 9) == [(diff("a"), strange)]
    assert index.contents_summaries([diff("a")])[diff("a")].skipped == ((odd, b"x", odd),)
    assert [r.image for r in index.images_by_name(f"oci:{odd}")] == [of]
    assert index.cached(odd) == b"value"
    assert index.trust_records() == [record]


_odd_text = st.text(st.characters(codec=None), max_size=20)
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | _odd_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_odd_text, inner, max_size=3),
    max_leaves=10,
)
_package = st.builds(
    Package,
    st.sampled_from(PackageType),
    _odd_text,
    _odd_text,
    st.binary(max_size=20),
    *[_odd_text] * 5,
)
_contents = st.builds(
    contents,
    diff_id=st.binary(min_size=32, max_size=32).map(DiffId.from_raw),
    entries=st.binary(max_size=2000),
    packages=st.lists(_package, max_size=5).map(tuple),
    package_files=st.lists(st.binary(max_size=20), max_size=5).map(tuple),
    facts=st.dictionaries(_odd_text, _json, max_size=3),
    skipped=st.lists(st.tuples(_odd_text, st.binary(max_size=20), _odd_text), max_size=3).map(
        tuple
    ),
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(row=_contents)
def test_any_contents_come_back_equal(index: Index, row: Contents) -> None:
    index.put_contents(replace(row, analysers="previous"), None)
    index.put_contents(row, None)
    assert index.contents(row.diff_id) == row


# --- blobs -------------------------------------------------------------------------------------


def test_a_blob_is_remembered_once(index: Index) -> None:
    index.put_blob(blob())
    index.put_blob(replace(blob(), media_type="tar+zstd"))
    index.put_blob(blob("other"))
    asked = {blob().digest, blob("other").digest, blob("unknown").digest}
    assert index.blobs(asked) == {blob().digest: diff("a"), blob("other").digest: diff("a")}


def test_a_blob_put_with_known_contents_is_remembered(index: Index) -> None:
    index.put_contents(contents(), blob())
    index.put_contents(contents(), blob("recompressed"))
    assert index.blobs([blob("recompressed").digest]) == {blob("recompressed").digest: diff("a")}


# --- chains ------------------------------------------------------------------------------------


def test_chains_come_back_equal_and_in_the_order_asked(index: Index) -> None:
    of = image("abc")
    a, b, c = chains(of)
    index.put_image(of, [a, b, c], MONDAY)
    asked = [c.chain_id, unknown_chain(), a.chain_id, b.chain_id, a.chain_id]
    assert index.chains(asked) == [c, None, a, b, a]
    assert index.known_chains(asked, ANALYSERS) == {a.chain_id, b.chain_id, c.chain_id}
    assert index.known_chains(asked, NEWER) == set()


def test_layers_of_an_image_without_chain_rows_are_not_known_chains(index: Index) -> None:
    of = image("ab")
    index.put_image(of, chains(of)[:1], MONDAY)
    asked = [layer.chain_id for layer in of.layers]
    assert index.known_chains(asked, ANALYSERS) == {asked[0]}
    assert index.chains(asked) == [chains(of)[0], None]


def test_chains_of_other_analysers_are_replaced_whole(index: Index) -> None:
    of = image("ab")
    index.put_image(of, chains(of), MONDAY)
    newer = chains(of, analysers=NEWER, package_changes=(change("zsh"),), changes=b"", counts={})
    index.put_image(of, newer, TUESDAY)
    assert index.chains([row.chain_id for row in newer]) == newer
    assert index.package_changes_named("bash", 9) == []
    assert len(index.package_changes_named("zsh", 9)) == 2


def test_chains_of_the_same_analysers_are_kept_as_they_are(index: Index) -> None:
    of = image("ab")
    index.put_image(of, chains(of), MONDAY)
    index.put_image(of, chains(of, changes=b"other"), TUESDAY)
    assert index.chains([layer.chain_id for layer in of.layers]) == chains(of)


def test_contents_at_two_places_are_two_chains(index: Index) -> None:
    index.put_contents(contents("a"), None)
    of = image("aba")
    index.put_image(of, chains(of), MONDAY)
    assert [r.image for r in index.images_with_chain(of.layers[2].chain_id)] == [of]
    (hit,) = index.usage([diff("a")], 9)
    assert set(hit.chain_ids) == {of.layers[0].chain_id, of.layers[2].chain_id}
    assert hit.images == (of.reference,)


# --- images ------------------------------------------------------------------------------------


def test_an_image_comes_back_equal_by_name_and_digests(index: Index) -> None:
    of = image()
    index.put_image(of, chains(of), MONDAY)
    assert of.manifest_digest is not None
    for record in (
        index.image_by_config(of.config_digest),
        index.image_by_manifest(of.manifest_digest),
        *index.images_by_name(of.reference),
        *index.images(),
        *index.images_with_chain(of.layers[1].chain_id),
    ):
        assert record is not None
        assert record.image == of
        assert record.names == (of.reference,)
        assert record.indexed_at == MONDAY
        assert record.indexed_at.utcoffset() == timedelta(0)


def test_the_examples_leave_no_field_at_its_default() -> None:
    """So that no field can be lost unnoticed."""
    for value in (image(), contents(), *chains(image("a"))):
        empty = [f.name for f in fields(value) if not getattr(value, f.name)]
        assert empty in ([], ["parent", "position"])


def test_a_time_of_another_zone_is_the_same_moment(index: Index) -> None:
    there = MONDAY.astimezone(timezone(timedelta(hours=-7)))
    index.put_image(image(), [], there)
    (record,) = index.images()
    assert record.indexed_at == there


def test_an_image_without_layers_comes_back_equal(index: Index) -> None:
    of = image("", layers=(), history=(), config={}, manifest={})
    index.put_image(of, [], MONDAY)
    assert [r.image for r in index.images()] == [of]


def test_an_image_without_a_manifest_comes_back_equal(index: Index) -> None:
    index.put_image(saved(), chains(saved()), MONDAY)
    (record,) = index.images_by_name(saved().reference)
    assert record.image == saved()
    assert index.image_by_config(saved().config_digest) == record


def test_two_sources_of_one_image_share_it_and_keep_what_each_said(index: Index) -> None:
    pulled, archived = image(), saved()
    index.put_image(pulled, chains(pulled), MONDAY)
    index.put_image(archived, chains(archived), TUESDAY)
    assert [r.image for r in index.images_by_name(pulled.reference)] == [pulled]
    assert [r.image for r in index.images_by_name(archived.reference)] == [archived]
    (record,) = index.images()
    assert record.names == (archived.reference, pulled.reference)
    assert record.indexed_at == TUESDAY


def test_an_image_by_config_shows_a_manifest_if_one_is_known(index: Index) -> None:
    index.put_image(image(), chains(image()), MONDAY)
    index.put_image(saved(), chains(saved()), TUESDAY)
    record = index.image_by_config(image().config_digest)
    assert record is not None
    assert record.image == image()


def test_the_newest_of_several_manifests_is_shown(index: Index) -> None:
    gzip = image(reference="docker://h/x:gzip")
    zstd = image(
        reference="docker://h/x:zstd", manifest_digest=Digest.of(b"zstd"), index_digest=None
    )
    index.put_image(gzip, [], MONDAY)
    index.put_image(zstd, [], TUESDAY)
    for asked, expected in ((gzip, gzip), (zstd, zstd)):
        assert asked.manifest_digest is not None
        record = index.image_by_manifest(asked.manifest_digest)
        assert record is not None
        assert record.image == expected
        assert record.names == ("docker://h/x:zstd", "docker://h/x:gzip")
    newest = index.image_by_config(gzip.config_digest)
    assert newest is not None
    assert newest.image == zstd


def test_an_index_digest_names_the_only_image_chosen_from_it(index: Index) -> None:
    of = image(index_digest=Digest.of(b"an index"))
    index.put_image(of, [], MONDAY)
    record = index.image_by_manifest(Digest.of(b"an index"))
    assert record is not None
    assert record.image == of


def test_an_index_digest_of_two_indexed_images_names_neither(index: Index) -> None:
    shared = Digest.of(b"an index")
    index.put_image(image("ab", index_digest=shared), [], MONDAY)
    index.put_image(image("cd", index_digest=shared), [], MONDAY)
    assert index.image_by_manifest(shared) is None


def test_an_index_digest_of_one_image_under_two_names_names_it(index: Index) -> None:
    shared = Digest.of(b"an index")
    index.put_image(image("ab", "docker://h/x:1", index_digest=shared), [], MONDAY)
    index.put_image(image("ab", "docker://h/x:2", index_digest=shared), [], TUESDAY)
    record = index.image_by_manifest(shared)
    assert record is not None
    assert record.names == ("docker://h/x:2", "docker://h/x:1")
    assert record.image.reference == "docker://h/x:2"


def test_a_moved_tag_names_both_images_newest_first(index: Index) -> None:
    index.put_image(image("ab"), [], MONDAY)
    index.put_image(image("ac"), [], TUESDAY)
    found = index.images_by_name(image().reference)
    assert [r.image for r in found] == [image("ac"), image("ab")]


def test_a_tag_moved_back_names_the_old_image_first(index: Index) -> None:
    index.put_image(image("ab"), [], MONDAY)
    index.put_image(image("ac"), [], TUESDAY)
    index.put_image(image("ab"), [], WEDNESDAY)
    found = index.images_by_name(image().reference)
    assert [r.image for r in found] == [image("ab"), image("ac")]
    assert [r.indexed_at for r in index.images()] == [WEDNESDAY, TUESDAY]


def test_of_two_sightings_at_one_moment_the_last_is_newest(index: Index) -> None:
    index.put_image(image("ab"), [], MONDAY)
    index.put_image(image("ac"), [], MONDAY)
    index.put_image(image("ab"), [], MONDAY)
    found = index.images_by_name(image().reference)
    assert [r.image for r in found] == [image("ab"), image("ac")]


def test_a_name_is_listed_once(index: Index) -> None:
    index.put_image(image(), [], MONDAY)
    index.put_image(image(), [], TUESDAY)
    index.put_image(replace(image(), notes=("another note",)), [], WEDNESDAY)
    (record,) = index.images()
    assert record.names == (image().reference,)


def test_all_images_come_newest_first(index: Index) -> None:
    for number in range(150):  # more than are read at once
        of = image(chr(0x100 + number), f"docker://h/x:{number}")
        index.put_image(of, [], MONDAY + timedelta(minutes=(number * 7) % 150))
    records = list(index.images())
    times = [record.indexed_at for record in records]
    assert len({r.image.config_digest for r in records}) == 150
    assert times == sorted(times, reverse=True)


def test_the_index_may_be_written_to_while_images_are_listed(index: Index) -> None:
    index.put_image(image("ab"), [], MONDAY)
    index.put_image(image("ac"), [], TUESDAY)
    seen = []
    for record in index.images():
        seen.append(record.image)
        index.put_cached(str(record.image.config_digest), b"seen")
    assert seen == [image("ac"), image("ab")]


def test_images_with_a_shared_layer_are_found_by_it(index: Index) -> None:
    index.put_image(image("ab", "docker://h/ab"), [], MONDAY)
    index.put_image(image("ac", "docker://h/ac"), [], TUESDAY)
    index.put_image(image("ba", "docker://h/ba"), [], WEDNESDAY)
    base = image("ab").layers[0].chain_id
    assert [r.image.reference for r in index.images_with_chain(base)] == [
        "docker://h/ac",
        "docker://h/ab",
    ]
    assert len(index.images_with_chain(image("ba").layers[1].chain_id)) == 1


def test_a_descriptor_without_annotations_comes_back_equal(index: Index) -> None:
    (layer,) = image("a").layers
    plain = replace(layer, blob=Descriptor("tar", Digest.of(b"x"), 1), created_by=None)
    of = image("a", layers=(plain,))
    index.put_image(of, [], MONDAY)
    assert [r.image for r in index.images()] == [of]


# --- search ------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [0, 1, 255, 256, 0x01020304, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF])
def test_layers_are_found_by_the_values_of_their_filters(index: Index, value: int) -> None:
    many = uint32(value, value, *range(1000, 5000))
    index.put_contents(contents("path", path_filter=many, file_filter=b""), None)
    index.put_contents(contents("file", path_filter=b"", file_filter=many), None)
    index.put_contents(contents("other", path_filter=uint32(42), file_filter=uint32(42)), None)
    assert index.contents_with_path_hash(value, 9) == Page((diff("path"),))
    assert index.contents_with_file_hash(value, 9) == Page((diff("file"),))
    assert index.contents_with_path_hash(5000, 9) == Page(())


def test_packages_are_found_by_exact_name(index: Index) -> None:
    deb, npm = package("semver"), package("semver", "7.0", type=PackageType.NPM)
    index.put_contents(contents("a", packages=(deb, package("semver-x"))), None)
    index.put_contents(contents("b", packages=(npm, package("SemVer"), deb)), None)
    found = index.packages_named("semver", 9)
    assert len(found) == 3
    assert set(found) == {(diff("a"), deb), (diff("b"), npm), (diff("b"), deb)}


def test_package_changes_are_found_by_name_removals_too(index: Index) -> None:
    of = image("ab")
    first, second = chains(of)
    gone = change("bash", PackageChangeKind.REMOVED)
    first = replace(first, package_changes=(change("bash"), change("curl")))
    second = replace(second, package_changes=(gone, change("zsh")))
    index.put_image(of, [first, second], MONDAY)
    assert index.package_changes_named("bash", 9) == [
        (second.chain_id, gone),
        (first.chain_id, change("bash")),
    ]
    assert index.package_changes_named("zsh", 9) == [(second.chain_id, change("zsh"))]


def test_usage_names_chains_and_the_newest_names_of_images(index: Index) -> None:
    index.put_contents(contents("a"), None)
    index.put_contents(contents("unused"), None)
    index.put_image(image("ab", "docker://h/ab:1"), [], MONDAY)
    index.put_image(image("xa", "docker://h/xa"), [], TUESDAY)
    index.put_image(image("ab", "docker://h/ab:2"), [], WEDNESDAY)
    used, unused = index.usage([diff("a"), diff("unused"), diff("a")], 9)
    chain_ids: set[ChainId] = {image("ab").layers[0].chain_id, image("xa").layers[1].chain_id}
    assert used.diff_id == diff("a")
    assert set(used.chain_ids) == chain_ids
    assert used.images == ("docker://h/ab:2", "docker://h/xa")
    assert unused == Hit(diff("unused"), (), ())


# --- trust -------------------------------------------------------------------------------------


def test_a_trust_record_comes_back_equal(index: Index) -> None:
    record = trust(
        image(),
        expires_at=TUESDAY,
        revoked_by="bob",
        revoked_at=WEDNESDAY,
        revoke_reason="key lost",
    )
    index.put_trust(record)
    assert index.trust_records() == [record]
    assert index.trust_of([image().layers[0].chain_id]) == [record]


def test_a_trust_record_without_manifest_or_end_comes_back_equal(index: Index) -> None:
    record = trust(saved())
    index.put_trust(record)
    assert index.trust_records() == [record]


def test_revocation_replaces_the_record(index: Index) -> None:
    record = trust(image())
    revoked = replace(record, revoked_by="bob", revoked_at=TUESDAY, revoke_reason="why not")
    index.put_trust(record)
    index.put_trust(revoked)
    assert index.trust_records() == [revoked]
    assert index.trust_of(record.chain_ids) == [revoked]


def test_a_replaced_record_loses_its_former_layers(index: Index) -> None:
    index.put_trust(trust(image("ab")))
    index.put_trust(trust(image("cd")))
    assert index.trust_of([layer.chain_id for layer in image("ab").layers]) == []
    assert len(index.trust_of([image("cd").layers[0].chain_id])) == 1


def test_trust_is_found_by_any_of_its_layers_once(index: Index) -> None:
    ab, ac, xy = trust(image("ab"), "1"), trust(image("ac"), "2", TUESDAY), trust(image("xy"), "3")
    for record in (ab, ac, xy):
        index.put_trust(record)
    assert index.trust_of(ab.chain_ids) == [ac, ab]
    assert index.trust_of([ac.top, unknown_chain()]) == [ac]
    assert index.trust_records() == [ac, xy, ab]


def test_trust_is_found_among_thousands_of_layers_once(index: Index) -> None:
    of = image("".join(chr(0x100 + n) for n in range(700)))
    index.put_trust(trust(of))
    assert index.trust_of([layer.chain_id for layer in of.layers]) == [trust(of)]


# --- cached documents --------------------------------------------------------------------------


def test_cached_values_come_back_and_are_replaced(index: Index) -> None:
    index.put_cached("policy:1", b"\x00one")
    index.put_cached("policy:2", b"")
    index.put_cached("policy:1", b"two")
    assert index.cached("policy:1") == b"two"
    assert index.cached("policy:2") == b""


def test_what_was_learned_is_kept_and_makes_another_state(index: Index) -> None:
    before = index.state()
    index.put_learned("champion", b"one")
    assert index.cached("learned champion") == b"one"
    assert index.state() != before
    middle = index.state()
    index.put_learned("champion", b"two")
    assert index.cached("learned champion") == b"two"
    assert index.state() not in (before, middle)


# --- closing -----------------------------------------------------------------------------------


def test_a_closed_index_opens_again(index: Index) -> None:
    index.put_contents(contents(), blob())
    index.close()
    index.close()
    assert index.contents(diff("a")) == contents()


# --- events ------------------------------------------------------------------------------------


def test_an_event_comes_back_equal_and_counts_once(index: Index) -> None:
    assert index.put_events([event(), event()]) == 1
    assert index.put_events([event(account="mallory"), event("e-2", at=TUESDAY)]) == 1
    assert list(index.events()) == [event("e-2", at=TUESDAY), event()]


def test_a_layer_was_pushed_by_whoever_pushed_an_image_that_holds_it(index: Index) -> None:
    both, other = image("ab"), image("ac", reference="docker://registry.example/other:1")
    index.put_image(both, [], MONDAY)
    index.put_image(other, [], MONDAY)
    index.put_events(
        [
            event("1", manifest_digest=both.manifest_digest, account="alice", at=TUESDAY),
            event("2", manifest_digest=both.manifest_digest, account="alice", at=MONDAY),
            event("3", manifest_digest=other.manifest_digest, account="bob", at=WEDNESDAY),
            event("4", manifest_digest=both.manifest_digest, kind=EventKind.PULL),
            event("5", manifest_digest=Digest.of(b"unknown")),
            event("6", manifest_digest=None),
        ]
    )
    bottom, top = both.layers
    host = event().registry
    alice, bob = Pusher(host, "alice", MONDAY), Pusher(host, "bob", WEDNESDAY)
    assert index.pushers_of_layers([bottom.chain_id, top.chain_id, unknown_chain()]) == {
        bottom.chain_id: (alice, bob),
        top.chain_id: (alice,),
    }
    assert both.manifest_digest is not None
    assert index.pushers_of_images([both.manifest_digest, Digest.of(b"?")]) == {
        both.manifest_digest: (alice,)
    }


def test_images_are_found_by_their_top_layer_once(index: Index) -> None:
    base, app = image("a"), image("ab", reference="docker://registry.example/b:1")
    for of in (base, app, replace(app, reference="docker://registry.example/c:1")):
        index.put_image(of, [], MONDAY)
    bottom, top = (layer.chain_id for layer in app.layers)
    assert [r.image.config_digest for r in index.images_with_tops([bottom])] == [base.config_digest]
    found = index.images_with_tops([bottom, top])
    assert {r.image.config_digest for r in found} == {base.config_digest, app.config_digest}
    assert len(found) == 2


def test_a_name_tells_what_it_stood_for_the_newest_first(index: Index) -> None:
    first, second = image("a"), image("ab")
    named = first.reference
    index.put_image(first, [], MONDAY, MONDAY)
    index.put_image(second, [], TUESDAY, TUESDAY)
    index.put_image(replace(first, reference="docker://registry.example/z:1"), [], WEDNESDAY)
    index.put_image(replace(first, manifest_digest=None), [], WEDNESDAY)
    found = index.builds_named([named, named, "docker://registry.example/none:1"], 5)
    assert [(b.reference, b.manifest_digest, b.top, b.seen_at) for b in found] == [
        (named, second.manifest_digest, second.top, TUESDAY),
        (named, first.manifest_digest, first.top, MONDAY),
    ]
    assert len(index.builds_named([named], 2)) == 1  # the newest one has no manifest


# --- withdrawals -------------------------------------------------------------------------------


def test_a_withdrawal_is_found_by_its_place_and_by_its_contents(index: Index) -> None:
    record = withdrawal()
    index.put_withdrawals([record, withdrawal("w-2", "xy", withdrawn_at=TUESDAY)])
    assert index.withdrawals_of([record.chain_id], []) == [record]
    assert index.withdrawals_of([], [record.diff_id]) == [record]
    assert index.withdrawals_of([record.chain_id], [record.diff_id]) == [record]
    assert [w.id for w in index.withdrawals()] == ["w-2", "w-1"]


def test_a_release_replaces_the_withdrawal(index: Index) -> None:
    released = withdrawal(released_by="bob", released_at=TUESDAY, release_reason="false alarm")
    index.put_withdrawals([withdrawal()])
    index.put_withdrawals([released])
    assert index.withdrawals() == [released]


# --- verdicts ----------------------------------------------------------------------------------


def test_a_verdict_comes_back_equal(index: Index) -> None:
    record = verdict_record()
    index.put_verdict(record)
    assert index.verdict(record.made_from, MONDAY) == record
    assert index.verdict(bytes(32), MONDAY) is None
    assert index.verdicts_by_id("a") == index.verdicts_by_id("a1") == [record]
    assert index.verdicts_by_id("a2") == index.verdicts_by_id("9") == []


def test_a_verdict_of_nothing_comes_back_equal(index: Index) -> None:
    bare = replace(
        verdict_record().verdict, manifest_digest=None, base=None, layers=(), findings=(), notes=()
    )
    record = verdict_record(verdict=bare, context=Context())
    index.put_verdict(record)
    assert list(index.verdicts()) == [record]


def test_of_two_verdicts_on_the_same_the_newest_that_was_made_by_then_is_found(
    index: Index,
) -> None:
    old, new = verdict_record("a1"), verdict_record("b2", decided_at=WEDNESDAY)
    index.put_verdict(new)
    index.put_verdict(old)
    assert index.verdict(old.made_from, MONDAY - timedelta(seconds=1)) is None
    assert index.verdict(old.made_from, TUESDAY) == old
    assert index.verdict(old.made_from, WEDNESDAY) == new


def test_verdicts_are_listed_newest_first_by_reference(index: Index) -> None:
    other = image("xy", reference="docker://registry.example/other:1")
    index.put_verdict(verdict_record("1"))
    index.put_verdict(verdict_record("2", other, decided_at=TUESDAY))
    index.put_verdict(verdict_record("3", decided_at=WEDNESDAY))
    assert [r.id for r in index.verdicts()] == ["3", "2", "1"]
    assert [r.id for r in index.verdicts(other.reference)] == ["2"]


@pytest.mark.parametrize(
    "change",
    [
        lambda index: index.put_image(image("xy"), [], TUESDAY),
        lambda index: index.put_image(image(), [], TUESDAY),
        lambda index: index.put_trust(trust(image("xy"), "t-2")),
        lambda index: index.put_trust(trust(image(), revoked_by="bob", revoked_at=TUESDAY)),
        lambda index: index.put_events([event("new")]),
        lambda index: index.put_withdrawals([withdrawal("new")]),
        lambda index: index.put_withdrawals([withdrawal(released_by="bob", released_at=TUESDAY)]),
    ],
    ids=["image", "again", "trust", "revoke", "event", "withdraw", "release"],
)
def test_the_state_changes_with_what_a_verdict_may_depend_on(
    index: Index, change: Callable[[Index], object]
) -> None:
    index.put_image(image(), [], MONDAY)
    index.put_trust(trust(image()))
    index.put_withdrawals([withdrawal()])
    before = index.state()
    index.put_verdict(verdict_record())
    assert index.state() == before
    change(index)
    assert index.state() != before
