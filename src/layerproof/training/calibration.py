"""Raw scores into probabilities, on rows that nothing was trained on.

Isotonic regression by pooling adjacent violators (Zadrozny and Elkan 2002) over bins of raw scores,
with real and swapped rows weighing the same; then made strictly rising, so that it keeps the order.
"""

import numpy as np

from layerproof.learning.trees import Scorer
from layerproof.training.walk import Table

IDENTITY = [(-1.0, -1.0), (1.0, 1.0)]
_FEWEST = 40  # rows below which scores are left as they are
_BINS = 24
_RISE = 1e-3  # log-odds, at least, from one knot to the next


def weighed(table: Table) -> tuple["np.ndarray[tuple[int], np.dtype[np.float64]]", ...]:
    """Labels, and weights that sum to one half for each label."""
    labels = np.frombuffer(bytes(table.labels), np.uint8).astype(np.float64)
    weights = np.array(table.weights, np.float64)
    for label in (0.0, 1.0):
        total = weights[labels == label].sum()
        if total:
            weights[labels == label] /= 2 * total
    return labels, weights


def raw_scores(table: Table, scorer: Scorer) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    """Of every row."""
    data, width = bytes(table.data), table.width
    rows = (tuple(data[at : at + width]) for at in range(0, len(data), width))
    return np.array([scorer.raw(row) for row in rows], np.float64)


def knots(table: Table, scorer: Scorer) -> list[tuple[float, float]]:
    """See the module."""
    if len(table) < _FEWEST or len(set(table.labels)) < 2:
        return IDENTITY
    labels, weights = weighed(table)
    raw = raw_scores(table, scorer)
    order = np.argsort(raw, kind="stable")
    raw, labels, weights = raw[order], labels[order], weights[order]
    edges = np.searchsorted(np.cumsum(weights), np.linspace(0, weights.sum(), _BINS + 1)[1:-1])
    blocks: list[list[float]] = []  # weight, weight of the real, weight times raw
    for part in np.split(np.arange(len(raw)), np.unique(edges)):
        if not len(part):
            continue
        if blocks and raw[part[0]] == raw[part[0] - 1]:  # equal scores stay together
            same = part[raw[part] == raw[part[0]]]
            part = part[len(same) :]
            _grow(blocks[-1], raw, labels, weights, same)
            if not len(part):
                continue
        block = [0.0, 0.0, 0.0]
        _grow(block, raw, labels, weights, part)
        blocks.append(block)
    return _rising(_pooled(blocks))


def expected_error(table: Table, scorer: Scorer, bins: int = 15) -> float:
    """Expected calibration error: over bins of equal weight, how far trust is from the share of the
    real."""
    if not len(table):
        return 0.0
    labels, weights = weighed(table)
    trust = np.array([scorer.trust(raw) for raw in raw_scores(table, scorer)])
    order = np.argsort(trust, kind="stable")
    trust, labels, weights = trust[order], labels[order], weights[order]
    edges = np.searchsorted(np.cumsum(weights), np.linspace(0, weights.sum(), bins + 1)[1:-1])
    error = 0.0
    for part in np.split(np.arange(len(trust)), np.unique(edges)):
        if len(part):
            error += abs(float((weights[part] * (trust[part] - labels[part])).sum()))
    return error / float(weights.sum())


def _grow(block: list[float], raw, labels, weights, part) -> None:  # type: ignore[no-untyped-def]
    block[0] += float(weights[part].sum())
    block[1] += float((weights[part] * labels[part]).sum())
    block[2] += float((weights[part] * raw[part]).sum())


def _pooled(blocks: list[list[float]]) -> list[list[float]]:
    pooled: list[list[float]] = []
    for block in blocks:
        pooled.append(list(block))
        while len(pooled) > 1 and pooled[-2][1] / pooled[-2][0] >= pooled[-1][1] / pooled[-1][0]:
            last = pooled.pop()
            pooled[-1] = [a + b for a, b in zip(pooled[-1], last, strict=True)]
    return pooled


def _rising(pooled: list[list[float]]) -> list[tuple[float, float]]:
    found: list[tuple[float, float]] = []
    for weight, real, raw in pooled:
        share = min(max(real / weight, 1e-4), 1 - 1e-4)
        x, y = raw / weight, float(np.log(share / (1 - share)))
        if found:
            x, y = max(x, found[-1][0] + 1e-6), max(y, found[-1][1] + _RISE)
        found.append((round(x, 6), round(y, 6)))
    first, last = found[0], found[-1]
    return [(first[0] - 1, first[1] - 0.5), *found, (last[0] + 1, last[1] + 0.5)]
