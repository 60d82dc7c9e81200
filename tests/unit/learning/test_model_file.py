"""Model files are hostile: what is not a model, or would break its rules, is refused."""

import json
from typing import Any

import msgspec
import pytest
from tests.unit.learning.world import world

from layerproof.errors import ModelError
from layerproof.learning.features import CONTENTS, CONTEXT
from layerproof.learning.model import MAX_BYTES, parse_model, write_model
from layerproof.learning.monotone import violations


def document() -> dict[str, Any]:
    made: dict[str, Any] = json.loads(world().model.data)
    return made


def refused(text: bytes) -> str:
    with pytest.raises(ModelError) as caught:
        parse_model(text, "model.json")
    assert caught.value.where == "model.json"
    assert caught.value.remedy
    return caught.value.message


def written(changed: dict[str, Any]) -> bytes:
    return msgspec.json.encode(changed)


def test_what_training_wrote_is_read_back_the_same() -> None:
    data = world().model.data
    assert write_model(parse_model(data)) == data


def test_the_trained_model_has_no_violation_of_monotonicity() -> None:
    model = world().model.model
    for part, features in ((model.context, CONTEXT), (model.contents, CONTENTS)):
        assert part is not None
        assert [list(violations(tree, features)) for tree in part.trees] == [[]] * len(part.trees)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"\x80\x04\x95",
        b"tree\nversion=v4\n",
        b'{"form":1}',
        b"[" * 100_000,
    ],
)
def test_something_else_is_refused(text: bytes) -> None:
    assert "not a model" in refused(text)


def test_a_duplicate_key_is_refused() -> None:
    data = world().model.data
    doubled = data.replace(b'"schema":', b'"schema":"sha256:00","schema":', 1)
    assert "canonical" in refused(doubled)


def test_blanks_and_other_spellings_of_numbers_are_refused() -> None:
    assert "canonical" in refused(world().model.data + b"\n")
    assert "canonical" in refused(world().model.data.replace(b'"alpha":0.01', b'"alpha":1e-2'))


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"1e999", b"null", b'"1"'])
def test_a_number_that_is_none_is_refused(number: bytes) -> None:
    refused(world().model.data.replace(b'"alpha":0.01', b'"alpha":' + number))


def test_an_unknown_key_is_refused() -> None:
    assert "not a model" in refused(written({**document(), "run": "me"}))


def test_a_file_that_is_too_large_is_refused_unread() -> None:
    assert "more than" in refused(b" " * (MAX_BYTES + 1))


def test_a_model_for_other_features_is_refused() -> None:
    assert "other features" in refused(written({**document(), "schema": "sha256:" + "0" * 64}))


def tree_of(made: dict[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = max(made["context"]["trees"], key=lambda tree: len(tree["features"]))
    assert len(tree["features"]) > 2
    return tree


@pytest.mark.parametrize("child", [0, 999, -999])
def test_a_circle_or_a_child_that_is_not_there_is_refused(child: int) -> None:
    made = document()
    tree_of(made)["left"][1] = child
    assert "no tree" in refused(written(made))


def test_a_node_with_two_parents_is_refused() -> None:
    made = document()
    tree = tree_of(made)
    tree["left"][1] = tree["right"][0]
    assert "no tree" in refused(written(made))


def test_a_tree_that_rewards_an_attacker_is_refused() -> None:
    made = document()
    tree = tree_of(made)
    tree["leaves"] = [-leaf for leaf in tree["leaves"]]
    assert "not monotone in" in refused(written(made))


@pytest.mark.parametrize(
    ("key", "value"), [("features", 77), ("thresholds", 99), ("thresholds", -1)]
)
def test_a_split_that_cannot_be_is_refused(key: str, value: int) -> None:
    made = document()
    tree_of(made)[key][0] = value
    assert "tree" in refused(written(made))


def test_a_value_out_of_bounds_is_refused() -> None:
    made = document()
    tree_of(made)["leaves"][0] = 1e6
    assert "not finite or too large" in refused(written(made))


def test_a_calibration_that_falls_is_refused() -> None:
    made = document()
    made["context"]["knots"].reverse()
    assert "knots" in refused(written(made))


@pytest.mark.parametrize(
    ("key", "value"), [("maturityDays", 0), ("alpha", 0.0), ("alpha", 0.9), ("window", 10**9)]
)
def test_settings_out_of_bounds_are_refused(key: str, value: float) -> None:
    made = document()
    made["settings"][key] = value
    refused(written(made))


def test_scores_that_are_no_scores_are_refused() -> None:
    made = document()
    made["scores"] = {"settled": [2.0]}
    assert "scores" in refused(written(made))
