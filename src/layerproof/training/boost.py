"""LightGBM, held to what the model may be: monotone, small, the same again for the same rows.

LightGBM 4 "Parameters": `monotone_constraints` with method `basic`, `deterministic`,
`force_row_wise`, `num_threads=1`, `use_missing=false`. What it made is read from `dump_model`,
turned into `learning.model.Tree`, and proved; its own file formats are not used.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from layerproof.errors import ModelError, UsageError
from layerproof.learning.features import Feature
from layerproof.learning.model import Tree
from layerproof.learning.monotone import violations
from layerproof.model.learned import Kind
from layerproof.training.options import TrainingOptions
from layerproof.training.walk import Table

# The kinds that tell least come first: after the others, nothing would be left for them to tell.
_ORDER = (
    Kind.NAME,
    Kind.REPOSITORIES,
    Kind.PULLER,
    Kind.GEOGRAPHY,
    Kind.REPOSITORY,
    Kind.PUSHER,
    Kind.CONTENTS,
)
_DATA = {"max_bin": 15, "min_data_in_bin": 1, "verbosity": -1, "feature_pre_filter": False}
_PARAMETERS = {
    "objective": "binary",
    "boost_from_average": False,
    "learning_rate": 0.2,
    "lambda_l2": 2.0,
    "feature_fraction": 0.7,
    "monotone_constraints_method": "basic",
    "use_missing": False,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,
}


def boost(
    table: Table,
    features: Sequence[Feature],
    columns: Sequence[int],
    seed: int,
    options: TrainingOptions,
) -> tuple[float, list[Tree]]:
    """Bias and trees; no trees where the rows tell nothing apart. Raises ModelError if a tree is
    not monotone, UsageError where LightGBM is not installed."""
    if len(table) < 8 or len(set(table.labels)) < 2 or not columns:
        return 0.0, []
    try:
        import lightgbm
    except ImportError as error:
        raise UsageError(
            "LightGBM is not installed",
            where="learn train",
            remedy='install it: pip install "layerproof[learn]"',
        ) from error
    weights = np.array(table.weights, np.float64)
    labels = np.frombuffer(bytes(table.labels), np.uint8)
    for label in (0, 1):
        weights[labels == label] /= weights[labels == label].sum()
    weights *= len(table) / 2
    rows = table.rows().astype(np.float64)
    so_far = np.zeros(len(table))
    bias, trees = 0.0, []
    for chosen, count in _stages(features, columns, options.trees):
        data = lightgbm.Dataset(
            rows[:, chosen],
            label=labels,
            weight=weights,
            init_score=so_far,
            params=_DATA,
        )
        directions = [1 if features[c].up else -1 for c in chosen]
        booster = lightgbm.train(
            {
                **_DATA,
                **_PARAMETERS,
                "num_leaves": options.leaves,
                "min_data_in_leaf": max(3, min(40, len(table) // 100)),
                "monotone_constraints": directions,
                "seed": seed,
            },
            data,
            num_boost_round=count,
        )
        so_far = so_far + booster.predict(rows[:, chosen], raw_score=True)
        dumped: Any = booster.dump_model()
        for info in dumped["tree_info"]:
            root = info["tree_structure"]
            if "split_feature" in root:
                trees.append(_tree(root, chosen))
            else:
                bias += float(root["leaf_value"])
    for tree in trees:
        for column in violations(tree, features):
            raise ModelError(
                f"training gave a tree that is not monotone in {features[column].name}",
                remedy="a defect: please report it; the model in use stays",
            )
    return bias, trees


def _stages(
    features: Sequence[Feature], columns: Sequence[int], trees: int
) -> list[tuple[list[int], int]]:
    """Columns and how many trees look at them. First each kind by itself, so that every kind has a
    say even where another tells the same: whoever gets past one still meets the others. Then all
    together."""
    there = {features[column].kind for column in columns}
    kinds = [kind for kind in _ORDER if kind in there]
    if len(kinds) == 1:
        return [(list(columns), trees)]
    each = max(trees // (2 * len(kinds)), 1)
    stages = [([c for c in columns if features[c].kind is kind], each) for kind in kinds]
    return [*stages, (list(columns), max(trees - each * len(kinds), 1))]


def _tree(root: dict[str, Any], columns: Sequence[int]) -> Tree:
    nodes: list[dict[str, Any]] = []
    todo = [root]
    while todo:  # breadth first: children stand behind their parents
        node = todo.pop(0)
        nodes.append(node)
        children = (node["left_child"], node["right_child"])
        todo.extend(child for child in children if "split_feature" in child)
    number = {id(node): at for at, node in enumerate(nodes)}
    leaves: list[float] = []

    def child(node: dict[str, Any]) -> int:
        if "split_feature" in node:
            return number[id(node)]
        leaves.append(_rounded(node["leaf_value"]))
        return ~(len(leaves) - 1)

    left, right = [], []
    for node in nodes:
        left.append(child(node["left_child"]))
        right.append(child(node["right_child"]))
    return Tree(
        features=[columns[node["split_feature"]] for node in nodes],
        thresholds=[int(np.floor(node["threshold"])) for node in nodes],
        left=left,
        right=right,
        means=[_rounded(node["internal_value"]) for node in nodes],
        leaves=leaves,
    )


def _rounded(value: float) -> float:
    """Nine digits: the file stays small. Rounding keeps the order, so trees stay monotone."""
    return float(round(float(value), 9))
