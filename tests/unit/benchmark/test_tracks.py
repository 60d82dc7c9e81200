"""The tracks: the same for the same seed; labels apart; nothing of the future; what is assumed."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from layerproof.model.event import Event, EventKind
from layerproof.testing.index import MemoryIndex
from learning import metadata, organisation, track_a
from learning.baselines import simple_baselines
from learning.cases import BENIGN, NO_ATTACK, Track
from learning.contents import Scenario, track_c
from learning.fitted import LogisticBaseline
from learning.holdout import held_out
from learning.layers import LayerShop, Recipe
from learning.parts import accepted_pushes, rename
from learning.runs import AxisRows, run

pytestmark = pytest.mark.skipif(
    not metadata.LOG.exists(), reason=f"the real stream is not at hand: {metadata.LOG}"
)


@pytest.fixture(scope="module")
def log() -> list[Event]:
    return metadata.read_log()


@pytest.fixture(scope="module")
def fitted() -> organisation.Fitted:
    return organisation.fit()


@pytest.fixture(scope="module")
def real(log: list[Event]) -> track_a.Stream:
    """A part of it: the whole takes seconds."""
    since, until = datetime(2019, 3, 1, tzinfo=UTC), datetime(2020, 4, 1, tzinfo=UTC)
    events = [event for event in log if since <= event.at < until]
    index = MemoryIndex()
    index.put_events(events)
    return track_a.Stream(index, events)


def test_the_log_is_read_whole_and_in_order(log: list[Event]) -> None:
    assert len(log) > 24_000
    assert all(a.at <= b.at for a, b in pairwise(log))
    assert len({event.identity for event in log}) == len(log)
    assert all(event.at.utcoffset() == timedelta() for event in log)


def test_track_a_is_the_same_for_the_same_seed(real: track_a.Stream) -> None:
    first, known = track_a.track_a(real, 1, per_family=20)
    again, _ = track_a.track_a(real, 1, per_family=20)
    other, _ = track_a.track_a(real, 2, per_family=20)
    assert first.cases == again.cases
    assert first.cases != other.cases
    assert all(case.event.at >= first.starts for case in first.cases)
    assert all(case.event.at < first.starts for case in known)


def test_no_attack_is_in_the_index(real: track_a.Stream) -> None:
    track, _ = track_a.track_a(real, 1, per_family=20)
    there = {event.identity for event in track.index.events()}
    assert there.isdisjoint(c.event.identity for c in track.cases if c.family != BENIGN)
    assert there >= {c.event.identity for c in track.cases if c.family == BENIGN}


def test_held_out_repositories_have_no_past(real: track_a.Stream) -> None:
    track, held = held_out(track_a.track_a(real, 1, per_family=20)[0])
    assert held
    for events in (track.events, list(track.index.events())):
        assert not [e for e in events if e.repository in held and e.at < track.starts]
    assert {case.event.repository for case in track.cases} <= held


def test_baselines_answer_every_case_and_never_learn_the_family_that_is_held_out(
    real: track_a.Stream,
) -> None:
    track, known = track_a.track_a(real, 1, per_family=4)
    for scorer in simple_baselines(track):
        assert len(run(lambda scorer=scorer: scorer, track, 1)) == len(track.cases)
    seen: list[set[str]] = []
    rows = AxisRows(track)

    class Watched(LogisticBaseline):
        def fit(self, track: Track, until, seed, known_attacks) -> None:
            seen.append({case.family for case in known_attacks})
            LogisticBaseline.fit(self, track, until, seed, known_attacks)

    found = run(lambda: Watched(rows), track, 1, known)
    folds = {row.fold: {r.case.family for r in found if r.fold == row.fold} for row in found}
    assert len(seen) == len(track.families()) == len(folds)
    for families, tried in zip(seen, folds.values(), strict=True):
        (family,) = tried - {BENIGN, NO_ATTACK}
        assert family not in families


def test_accepted_pushes_come_before_the_attack(real: track_a.Stream) -> None:
    track, _ = track_a.track_a(real, 1, per_family=10)
    attack = next(case.event for case in track.cases if case.family == "new-account")
    pushes = accepted_pushes(attack, 10, 14)
    assert len({push.identity for push in pushes}) == 10
    for push in pushes:
        assert timedelta() < attack.at - push.at <= timedelta(days=14)
        assert (push.account, push.repository) == (attack.account, attack.repository)


def test_renaming_is_one_to_one(real: track_a.Stream) -> None:
    names = {event.repository for event in real.events}
    assert len({rename(event).repository for event in real.events}) == len(names)


def test_the_organisation_is_the_same_for_the_same_seed(fitted: organisation.Fitted) -> None:
    first = organisation.Organisation(fitted, 1).events()
    assert first == organisation.Organisation(fitted, 1).events()
    assert first != organisation.Organisation(fitted, 2).events()
    pushes = [event for event in first if event.kind is EventKind.PUSH]
    assert len({event.repository for event in pushes}) == organisation.REPOSITORIES
    home = Counter(event.country for event in pushes)
    assert home.most_common(1)[0][1] < len(pushes)
    abroad = sum(event.country in organisation.JOURNEYS for event in pushes)
    assert 0 < abroad < len(pushes) / 100


def test_pulls_follow_their_push(fitted: organisation.Fitted) -> None:
    events = organisation.Organisation(fitted, 1).events()
    pushed = {e.manifest_digest: e.at for e in events if e.kind is EventKind.PUSH}
    pulls = [event for event in events if event.kind is EventKind.PULL]
    assert pulls
    assert all(pushed[event.manifest_digest] < event.at for event in pulls)


def test_track_c_is_indexed_by_the_real_indexer(tmp_path, monkeypatch) -> None:
    recipes = [Recipe("alpine", "shell", alpine="3.20.3")]
    monkeypatch.setattr("learning.contents.STARTS", datetime(2026, 6, 1, tzinfo=UTC))
    monkeypatch.setattr("learning.contents.BEGINS", datetime(2026, 1, 1, tzinfo=UTC))
    monkeypatch.setattr("learning.contents.NEXT_BASE", datetime(2026, 1, 2, tzinfo=UTC))
    monkeypatch.setattr("learning.contents.FEWEST", 5)
    scenario = Scenario(MemoryIndex(), LayerShop(tmp_path), 2, recipes)
    scenario.fill()
    track, _ = track_c(scenario, 1, per_family=1)
    families = Counter(case.family for case in track.cases)
    assert families["miner"] == families["other-chain"] == families[NO_ATTACK] == 1
    trusted = {record.reference for record in track.index.trust_records()}
    assert any("base/alpine" in reference for reference in trusted)
    for case in track.cases:
        assert case.event.manifest_digest is not None
        record = track.index.image_by_manifest(case.event.manifest_digest)
        assert record is not None
        layers = [layer.chain_id for layer in record.image.layers]
        assert all(chain is not None for chain in track.index.chains(layers))
    twins = {case.event.identity: case for case in track.cases}
    for case in track.cases:
        if case.family in ("miner", "cron", NO_ATTACK):
            twin = twins[case.twin].event
            assert (case.event.at, case.event.account) == (twin.at, twin.account)
            assert case.event.manifest_digest != twin.manifest_digest
