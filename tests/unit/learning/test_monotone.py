"""The proof finds a tree that is not monotone, exactly when trying every row would."""

from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from layerproof.learning.features import Feature
from layerproof.learning.model import Tree
from layerproof.learning.monotone import violations
from layerproof.model.learned import Control, Kind

FEATURES = tuple(
    Feature(f"f{at}", Kind.PUSHER, Control.HARD, up, "{}", 3)
    for at, up in enumerate((True, False, True))
)
ROWS = list(product(range(4), repeat=3))


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    count = draw(st.integers(1, 6))
    left, right, open_ends = [0] * count, [0] * count, [(0, side) for side in (0, 1)]
    for node in range(1, count):
        parent, side = open_ends.pop(draw(st.integers(0, len(open_ends) - 1)))
        (left, right)[side][parent] = node
        open_ends += [(node, 0), (node, 1)]
    for leaf, (parent, side) in enumerate(open_ends):
        (left, right)[side][parent] = ~leaf
    return Tree(
        draw(st.lists(st.integers(0, 2), min_size=count, max_size=count)),
        draw(st.lists(st.integers(0, 2), min_size=count, max_size=count)),
        left,
        right,
        [0.0] * count,
        draw(st.lists(st.sampled_from((-1.0, 0.0, 1.0)), min_size=count + 1, max_size=count + 1)),
    )


def value(tree: Tree, row: tuple[int, ...]) -> float:
    node = 0
    while node >= 0:
        goes_left = row[tree.features[node]] <= tree.thresholds[node]
        node = tree.left[node] if goes_left else tree.right[node]
    return tree.leaves[~node]


def by_trying(tree: Tree) -> bool:
    for row in ROWS:
        for column, feature in enumerate(FEATURES):
            if row[column] == 3:
                continue
            more = (*row[:column], row[column] + 1, *row[column + 1 :])
            rise = value(tree, more) - value(tree, row)
            if rise < 0 if feature.up else rise > 0:
                return False
    return True


@given(trees())
def test_the_proof_says_what_trying_every_row_says(tree: Tree) -> None:
    assert (not list(violations(tree, FEATURES))) == by_trying(tree)
