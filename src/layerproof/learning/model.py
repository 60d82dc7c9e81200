"""The model as a file: strict JSON, everything bounded, nothing that could be run.

1. The file is canonical: what was parsed, written again, gives the same bytes. So it has no unknown
   or duplicate key, no NaN and no second way to write a number.
2. A tree's children stand behind their parent and have one parent: there is no circle, and
   whatever the file holds, an evaluation ends after `MAX_DEPTH` steps.
3. Columns are numbers of `learning.features`; a model for other declarations is refused.
4. Every tree is monotone in every column the way the column allows (`learning.monotone`).

`parse_model` checks all of it, and is used on what comes from outside; `known_model` reads what
this index has checked before.
"""

from math import isfinite
from typing import Any

import msgspec

from layerproof.errors import ModelError
from layerproof.learning.features import CONTENTS, CONTEXT, Feature, schema_digest
from layerproof.learning.monotone import violations
from layerproof.model.digest import Digest

FORM = "layerproof.learned/1"
MAX_BYTES = 8 << 20
MAX_TREES = 512
MAX_NODES = 63  # of one tree
MAX_DEPTH = 16
MAX_LEAF = 100.0
MAX_KNOTS = 256
MAX_SCORES = 20_000  # of one group

Feat = list[int]


class Tree(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`row[features[i]] <= thresholds[i]` goes left. A child below 0 is the leaf `~child`. `means`:
    what the rows of training had on average at a node; explanations walk along these."""

    features: list[int]
    thresholds: list[int]
    left: list[int]
    right: list[int]
    means: list[float]
    leaves: list[float]


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One model. `knots`: raw score → log-odds, both strictly rising, linear between."""

    columns: list[int]  # those it was trained on
    bias: float
    trees: list[Tree]
    knots: list[tuple[float, float]]


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """What holds when it is used."""

    maturity_days: int
    alpha: float
    trusted_above: float
    window: int


class Training(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """What it was made from."""

    digest: str  # of the training set
    seed: int
    until: str  # ISO 8601, UTC
    events: int
    rows: int
    kinds: list[str]


class Model(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """See the module."""

    form: str
    schema: str
    training: Training
    settings: Settings
    context: Part | None
    contents: Part | None
    scores: dict[str, list[float]]  # by group, ascending: of known-good images, from 0 to 1
    drift: dict[str, list[int]]  # by feature: how many rows of training had which value


def write_model(model: Model) -> bytes:
    """Canonical JSON."""
    return msgspec.json.encode(model)


def model_digest(data: bytes) -> str:
    """Identity of a model."""
    return str(Digest.of(data))


def known_model(data: bytes) -> Model:
    """A model that was checked before. Raises ModelError for what is none."""
    try:
        model = msgspec.json.decode(data, type=Model)
    except (msgspec.DecodeError, msgspec.ValidationError, RecursionError) as error:
        raise _refused(f"not a model: {error}") from error
    if model.form != FORM or model.schema != schema_digest():
        raise _refused("made for other features than this version has")
    return model


def parse_model(data: bytes, where: str = "") -> Model:
    """Read and check a model from anywhere. Raises ModelError that says what is wrong."""
    if len(data) > MAX_BYTES:
        raise _refused(f"{len(data):,} bytes, more than {MAX_BYTES:,}", where)
    try:
        model = known_model(data)
    except ModelError as error:
        raise _refused(error.message, where) from error
    if write_model(model) != data:
        raise _refused("not canonical: a key twice, blanks, or a number written otherwise", where)
    for name, features in (("context", CONTEXT), ("contents", CONTENTS)):
        part: Part | None = getattr(model, name)
        if part is not None:
            for problem in _problems(part, features):
                raise _refused(f"{name}: {problem}", where)
    if model.context is None and model.contents is None:
        raise _refused("it has neither part", where)
    for problem in _other_problems(model):
        raise _refused(problem, where)
    return model


def _refused(message: str, where: str = "") -> ModelError:
    return ModelError(message, where=where, remedy="train it here: layerproof learn train")


def _other_problems(model: Model) -> Any:
    said = model.settings
    if not (1 <= said.maturity_days <= 3650 and 0 < said.alpha < said.trusted_above < 1):
        yield "settings out of bounds"
    if not 1 <= said.window <= MAX_SCORES:
        yield "settings out of bounds"
    if len(model.scores) > 16 or len(model.drift) > len(CONTEXT) + len(CONTENTS):
        yield "too many groups or features"
    for group, scores in model.scores.items():
        if len(scores) > MAX_SCORES or not all(0.0 <= s <= 1.0 for s in scores):
            yield f"scores of {group[:40]!r} out of bounds"
        if scores != sorted(scores):
            yield f"scores of {group[:40]!r} not in order"
    for counts in model.drift.values():
        if len(counts) > 16 or any(count < 0 for count in counts):
            yield "counts of drift out of bounds"


def _problems(part: Part, features: tuple[Feature, ...]) -> Any:
    if not 1 <= len(part.trees) <= MAX_TREES:
        yield f"{len(part.trees)} trees"
        return
    if part.columns != sorted(set(part.columns)) or not all(
        0 <= column < len(features) for column in part.columns
    ):
        yield "unknown columns"
    if not _finite(part.bias) or not 2 <= len(part.knots) <= MAX_KNOTS:
        yield "bias or knots out of bounds"
    flat = [number for knot in part.knots for number in knot]
    if not all(map(_finite, flat)):
        yield "knots out of bounds"
    for before, after in zip(part.knots, part.knots[1:], strict=False):
        if not (before[0] < after[0] and before[1] < after[1]):
            yield "knots do not rise"
    columns = set(part.columns)
    for number, tree in enumerate(part.trees):
        for problem in _tree_problems(tree, features, columns):
            yield f"tree {number}: {problem}"
            return
        for found in violations(tree, features):
            yield f"tree {number}: not monotone in {features[found].name}"
            return


def _finite(number: float) -> bool:
    return isfinite(number) and abs(number) <= MAX_LEAF


def _tree_problems(tree: Tree, features: tuple[Feature, ...], columns: set[int]) -> Any:
    count = len(tree.features)
    if not 1 <= count <= MAX_NODES or len(tree.leaves) != count + 1:
        yield f"{count} nodes with {len(tree.leaves)} leaves"
        return
    if not count == len(tree.thresholds) == len(tree.left) == len(tree.right) == len(tree.means):
        yield "columns of different lengths"
        return
    if not all(map(_finite, (*tree.leaves, *tree.means))):
        yield "a value that is not finite or too large"
    for column, threshold in zip(tree.features, tree.thresholds, strict=True):
        if column not in columns:
            yield f"unknown column {column}"
            return
        if not 0 <= threshold < features[column].top:
            yield f"threshold {threshold} of {features[column].name} splits nothing"
    depths = [0] * count
    reached: set[int] = set()
    for node in range(count):
        for child in (tree.left[node], tree.right[node]):
            if child in reached or not -count - 1 <= child < count or 0 <= child <= node:
                yield "its nodes are no tree"
                return
            reached.add(child)
            if child >= 0:
                depths[child] = depths[node] + 1
    if max(depths) >= MAX_DEPTH:
        yield f"deeper than {MAX_DEPTH}"
