"""The proof that a tree is monotone in every column, the way each column allows.

Two leaves that a split on a column parts, and that can both be reached by rows that differ in that
column alone, must stand in the right order. Every such pair is compared, so this is exact: a tree
passes if and only if no change of one value in the wrong direction raises (or lowers) what it says.
A sum of such trees, and a rising function of the sum, are monotone, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from layerproof.learning.features import Feature
    from layerproof.learning.model import Tree

_Box = dict[int, tuple[int, int]]  # column → the lowest and highest value; absent: any


def violations(tree: Tree, features: Sequence[Feature]) -> Iterator[int]:
    """Columns in which the tree is not monotone, once per pair of leaves that shows it. The tree
    must be one (`learning.model`)."""
    leaves = list(_leaves(tree, features))
    for at, (box, value) in enumerate(leaves):
        for other, theirs in leaves[at + 1 :]:
            column = _only_difference(box, other)
            if column is None:
                continue
            below = box[column][1] < other[column][0]
            low, high = (value, theirs) if below else (theirs, value)
            if (low > high) if features[column].up else (low < high):
                yield column


def _leaves(tree: Tree, features: Sequence[Feature]) -> Iterator[tuple[_Box, float]]:
    todo: list[tuple[int, _Box]] = [(0, {})]
    while todo:
        node, box = todo.pop()
        if node < 0:
            yield box, tree.leaves[~node]
            continue
        column, threshold = tree.features[node], tree.thresholds[node]
        low, high = box.get(column, (0, features[column].top))
        if low <= threshold:
            todo.append((tree.left[node], {**box, column: (low, min(high, threshold))}))
        if threshold < high:
            todo.append((tree.right[node], {**box, column: (max(low, threshold + 1), high)}))


def _only_difference(a: _Box, b: _Box) -> int | None:
    """The one column in which the boxes do not meet; None if there is none, or several."""
    found = None
    for column, (low, high) in a.items():
        other = b.get(column)
        if other is not None and (high < other[0] or other[1] < low):
            if found is not None:
                return None
            found = column
    return found
