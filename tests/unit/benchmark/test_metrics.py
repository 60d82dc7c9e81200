"""The benchmark's figures against scikit-learn and against values worked out by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from learning.metrics import (
    Curve,
    calibration_error,
    draw_clusters,
    interval,
    paired,
    precision,
    prevalence_weights,
    recall_from,
)

cases = st.lists(st.tuples(st.booleans(), st.integers(0, 12)), min_size=2, max_size=120).filter(
    lambda rows: {attack for attack, _ in rows} == {True, False}
)


def columns(rows: list[tuple[bool, int]]) -> tuple[np.ndarray, np.ndarray]:
    attack, suspicion = zip(*rows, strict=True)
    return np.array(attack), np.array(suspicion, dtype=float)


@given(cases)
@settings(deadline=None)
def test_areas_are_those_of_scikit_learn(rows: list[tuple[bool, int]]) -> None:
    attack, suspicion = columns(rows)
    curve = Curve(attack, suspicion)
    assert curve.area() == pytest.approx(roc_auc_score(attack, suspicion))
    assert curve.pr_area() == pytest.approx(average_precision_score(attack, suspicion))


@given(cases)
@settings(deadline=None)
def test_recall_is_read_from_the_curve_of_scikit_learn(rows: list[tuple[bool, int]]) -> None:
    attack, suspicion = columns(rows)
    fpr, tpr, _ = roc_curve(attack, suspicion, drop_intermediate=False)
    curve = Curve(attack, suspicion)
    for rate in (0.0, 0.05, 0.3, 1.0):
        at_rate = tpr[fpr == rate]
        expected = at_rate.max() if len(at_rate) else np.interp(rate, fpr, tpr)
        assert curve.recall(rate) == pytest.approx(expected)


@given(cases, st.floats(0.001, 0.5))
@settings(deadline=None)
def test_pr_area_at_a_prevalence_is_that_of_weighted_samples(
    rows: list[tuple[bool, int]], share: float
) -> None:
    attack, suspicion = columns(rows)
    weights = prevalence_weights(attack, share)
    expected = average_precision_score(attack, suspicion, sample_weight=weights)
    assert Curve(attack, suspicion).pr_area(share) == pytest.approx(expected)


@given(cases, st.integers(0, 5))
@settings(deadline=None)
def test_a_sample_is_a_curve_of_copies(rows: list[tuple[bool, int]], seed: int) -> None:
    attack, suspicion = columns(rows)
    clusters = np.arange(len(rows)) % 5
    draws = draw_clusters(5, 3, seed)
    rates = (0.01, 0.2)
    sampled = Curve(attack, suspicion).resampled(clusters, draws, rates)
    for found, draw in zip(sampled, draws, strict=True):
        copies = draw[clusters]
        one = np.repeat(attack, copies), np.repeat(suspicion, copies)
        if one[0].all() or not one[0].any():
            assert np.isnan(found).all()
        else:
            assert found == pytest.approx([Curve(*one).recall(rate) for rate in rates])


def test_recall_of_a_yes_or_no_scorer_is_that_of_a_coin_between_its_thresholds() -> None:
    attack = np.array([True] * 4 + [False] * 10)
    suspicion = np.array([1.0, 1.0, 0, 0] + [1.0] * 2 + [0.0] * 8)  # finds half at 20 %
    curve = Curve(attack, suspicion)
    assert curve.recall(0.2) == pytest.approx(0.5)
    assert curve.recall(0.1) == pytest.approx(0.25)
    assert curve.recall(0.6) == pytest.approx(0.75)


def test_a_curve_without_attacks_is_refused() -> None:
    with pytest.raises(ValueError, match="attacks and honest"):
        _ = Curve(np.array([False, False]), np.array([0.1, 0.2])).rates


def test_precision_at_a_prevalence() -> None:
    # 1,000 pushes of which one is an attack: half of it found, one false alarm in 1,000
    assert precision(0.5, 0.001, 0.001) == pytest.approx(0.0005 / (0.0005 + 0.000999))
    assert precision(0.0, 0.0, 0.001) == 1.0


def test_recall_from_stops_at_the_last_threshold() -> None:
    assert recall_from(np.array([0.0, 1.0]), np.array([0.0, 1.0]), 1.0) == 1.0


def test_calibration_error_by_hand() -> None:
    trust = np.array([0.95, 0.95, 0.15, 0.15])
    honest = np.array([True, False, False, False])
    weights = np.ones(4)
    # bins 0.9 to 1.0: told 0.95, was 0.5; 0.1 to 0.2: told 0.15, was 0
    assert calibration_error(trust, honest, weights) == pytest.approx((0.45 + 0.15) / 2)


def test_calibrated_trust_has_no_error() -> None:
    trust = np.array([0.75] * 4 + [1.0] * 2)
    honest = np.array([True, True, True, False, True, True])
    assert calibration_error(trust, honest, np.ones(6)) == pytest.approx(0.0)


def test_clusters_are_drawn_whole_and_as_many_as_there_are() -> None:
    draws = draw_clusters(7, 50, seed=3)
    assert draws.shape == (50, 7)
    assert (draws.sum(axis=1) == 7).all()
    assert (draw_clusters(7, 50, seed=3) == draws).all()
    assert not (draw_clusters(7, 50, seed=4) == draws).all()


def test_an_interval_leaves_out_samples_without_a_figure() -> None:
    found = interval(0.5, np.array([np.nan, *np.linspace(0, 1, 101)]))
    assert (found.low, found.high) == (pytest.approx(0.025), pytest.approx(0.975))


def test_paired_counts_samples_in_which_ours_is_no_better() -> None:
    ours, theirs = np.array([0.6, 0.7, 0.5, 0.9]), np.array([0.5, 0.7, 0.4, 0.2])
    assert paired(ours, theirs) == pytest.approx(2 / 5)  # one tie, and the one that is added
