"""Rows as figures: families and folds are never mixed; what is stored comes back."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from layerproof.model.event import Event, EventKind
from learning.cases import BENIGN, NO_ATTACK, Case, Score
from learning.results import Results, rows_to_json, table_from_json
from learning.summary import quarters_of, summarise, twin_area
from learning.tables import Row, Table

START = datetime(2024, 1, 1, tzinfo=UTC)


def row(
    number: int, family: str, trust: float, *, fold: str = "1", twin: str = "", repo: str = "a"
) -> Row:
    event = Event(f"{family}/{number}", EventKind.PUSH, START + timedelta(days=number))
    event = Event(event.identity, event.kind, event.at, repository=repo)
    return Row(Case(event, family, twin), Score(trust, refuses=trust < 0.05, p_value=trust), fold)


def honest(fold: str = "1", repo: str = "a") -> list[Row]:
    return [row(n, BENIGN, 0.5 + n / 400, fold=fold, repo=repo) for n in range(200)]


def test_recall_is_the_mean_over_families_and_not_over_attacks() -> None:
    found = [row(n, "miner", 0.1) for n in range(90)] + [row(0, "cron", 0.99)]
    assert Table([*honest(), *found]).recall(0.01) == pytest.approx(0.5)


def test_folds_are_not_ranked_against_each_other() -> None:
    other = [Row(r.case, Score(r.score.trust - 0.4), "2") for r in honest()]
    found = [row(0, "miner", 0.45), row(1, "miner", 0.05, fold="2")]
    assert Table([*honest(), *other, *found]).recall(0.0) == pytest.approx(1.0)


def test_bootstrap_samples_are_the_same_for_the_same_clusters() -> None:
    rows = [*honest(repo="a"), *honest(repo="b"), row(0, "miner", 0.1), row(1, "miner", 0.9)]
    table = Table(rows)
    one, two = (table.sampled((0.01,), ["a", "b"])[""] for _ in range(2))
    assert np.array_equal(one, two, equal_nan=True)


def test_a_cluster_without_the_attack_leaves_no_figure_in_that_sample() -> None:
    rows = [*honest(repo="a"), *honest(repo="b"), row(0, "miner", 0.1, repo="b")]
    sampled = Table(rows).sampled((0.01,), ["a", "b"])["miner"][:, 0]
    assert np.isnan(sampled).any()
    assert set(sampled[~np.isnan(sampled)]) == {1.0}


def test_the_pipeline_without_an_attack_is_compared_with_its_twin() -> None:
    same = [*honest(), *(row(n, NO_ATTACK, 0.5 + n / 400, twin=f"benign/{n}") for n in range(50))]
    assert twin_area(Table(same)) == pytest.approx(0.5)
    lower = [*honest(), *(row(n, NO_ATTACK, 0.1, twin=f"benign/{n}") for n in range(50))]
    assert twin_area(Table(lower)) == pytest.approx(1.0)


def test_quarters_count_every_honest_push_once() -> None:
    rows = [*honest("1"), *honest("2")]
    found = quarters_of(Table(rows))
    assert [quarter.name for quarter in found] == ["2024 Q1", "2024 Q2", "2024 Q3"]
    assert sum(quarter.honest for quarter in found) == 200


def test_rows_come_back_as_they_were_stored(tmp_path) -> None:
    rows = [*honest(), row(0, "miner", 0.1)]
    results = Results(tmp_path)
    results.write("c-main", {"rows": rows_to_json(rows)})
    table = table_from_json(results.read("c-main")["rows"])
    assert table.recall(0.01) == Table(rows).recall(0.01)
    assert [r.score for r in table.rows] == [r.score for r in rows]
    assert results.read("a-main") == {}


def test_a_constant_scorer_finds_what_chance_finds() -> None:
    rows = [*honest(), *(row(n, "miner", 0.1) for n in range(20))]
    flat = [Row(r.case, Score(0.5), r.fold) for r in rows]
    document = {"rows": {"learned trust": rows_to_json(rows), "flat": rows_to_json(flat)}}
    summary = summarise("C", document)
    assert summary.figures["flat"].recalls[""][0.01].value == pytest.approx(0.01)
    assert summary.best_baseline == "flat"
    difference, p_value = summary.difference("flat", 0.01)
    assert difference.value == pytest.approx(0.99)
    assert p_value < 0.01
