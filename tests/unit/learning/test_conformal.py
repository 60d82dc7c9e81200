"""p-values: valid for what is exchangeable, honest where the history is short, bounded later."""

from random import Random

import pytest

from layerproof.learning.conformal import ALL, STEP, Window


@pytest.mark.parametrize("alpha", [0.01, 0.05, 0.2])
def test_the_realised_rate_is_the_asked_one_for_exchangeable_scores(alpha: float) -> None:
    random = Random(1)
    called = 0
    for _ in range(2_000):
        window = Window({"a": [random.random() for _ in range(200)]}, 500, alpha)
        called += window.p_value("a", random.random())[0] <= alpha
    assert called / 2_000 <= alpha * 1.3 + 0.002


def test_a_short_history_says_the_smallest_rate_that_it_can_vouch_for() -> None:
    window = Window({"a": [0.5] * 9}, 500, 0.01)
    p, smallest, _ = window.p_value("a", 0.0)
    assert p == smallest == pytest.approx(0.1)


def test_a_class_with_too_few_is_compared_with_all() -> None:
    window = Window({"few": [0.1] * 3, "many": [0.9] * 200}, 500, 0.01)
    assert window.p_value("few", 0.5)[2] == ALL
    assert window.p_value("many", 0.5)[2] == "many"


def test_a_wave_of_oddities_lowers_the_level_and_the_realised_rate_follows() -> None:
    random, alpha = Random(2), 0.01
    window = Window({"a": [random.random() for _ in range(1000)]}, 1000, alpha)
    called = 0
    for _ in range(3_000):  # all of them odder than nine in ten of before
        score = random.random() / 10
        said = window.p_value("a", score)[0] <= alpha
        called += said
        window.add("a", score, called=said)
    assert called / 3_000 <= alpha + (alpha + STEP) / (STEP * 3_000) + 0.002


def test_flooding_with_oddities_lowers_the_level_no_further_than_its_floor() -> None:
    window = Window({}, 500, 0.01)
    for _ in range(1000):
        window.add("a", 0.0, called=True)
    assert window.level == pytest.approx(0.001)


def test_the_newest_scores_count() -> None:
    window = Window({}, 10, 0.2)
    for score in range(20):
        window.add("a", score / 20)
    assert window.scores()["a"] == [score / 20 for score in range(10, 20)]


def test_a_class_that_is_not_known_may_be_any() -> None:
    window = Window({"good": [0.9] * 200, "bad": [0.1] * 200}, 500, 0.01)
    worst, best, _, _ = window.p_range("", 0.5, 0.5)
    assert worst < 0.01
    assert best == 1.0
