"""Plain numbers about a push for the baselines: what a careful operator would count by hand.

Nothing is shared with the product's own features; the names and the choice are this benchmark's.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from layerproof.engine.ports import Index
from layerproof.model.change import Cause, ChangeKind
from layerproof.model.digest import ChainId, Digest
from layerproof.model.event import Event
from layerproof.oci import changecodec
from learning.history import History

CONTEXT = (
    "repository is new",
    "account is new",
    "pair is new",
    "not the last account",
    "country is new to the account",
    "country is new",
    "pushes of the repository",
    "pushes of the account",
    "pushes of the pair",
    "days since the pair pushed",
    "share of pushes near this hour",
    "repositories of the account",
    "accounts of the repository",
    "pullers of the repository",
)
CONTENTS = (
    "share of layers known",
    "base is new",
    "base is not the last",
    "unknown layers",
    *(f"paths {kind}" for kind in ChangeKind),
    *(f"changes by {cause}" for cause in (Cause.SETUID, Cause.SENSITIVE_PATH, Cause.SEARCH_PATH)),
    "packages added",
    "packages replaced",
)
NOVELTIES = (0, 1, 2, 4, 5)  # of CONTEXT: what "anything new" means
NEW_LAYERS = len(CONTEXT) + 1  # "base is new"


def images_of(index: Index) -> dict[Digest, tuple[ChainId, ...]]:
    """The layers of every indexed image by its manifest, lowest first."""
    return {
        record.image.manifest_digest: tuple(layer.chain_id for layer in record.image.layers)
        for record in index.images()
        if record.image.manifest_digest is not None
    }


def context_axes(event: Event, history: History) -> list[float]:
    """In the order of `CONTEXT`."""
    repository, account = event.repository, event.account
    pair = (repository, account)
    pushes = history.by_account[account]
    last = history.last_of_pair.get(pair)
    return [
        float(repository not in history.by_repository),
        float(pushes == 0),
        float(history.by_pair[pair] == 0),
        float(history.last_account.get(repository) != account),
        float(bool(event.country) and history.by_country[account, event.country] == 0),
        float(bool(event.country) and history.countries[event.country] == 0),
        math.log1p(history.by_repository[repository]),
        math.log1p(pushes),
        math.log1p(history.by_pair[pair]),
        math.log1p((event.at - last).total_seconds() / 86400) if last else 10.0,
        history.near_hour(account, event.at.hour) / pushes if pushes else 0.0,
        math.log1p(len(history.repositories_of.get(account, ()))),
        math.log1p(len(history.accounts_of.get(repository, ()))),
        math.log1p(len(history.pullers.get(repository, ()))),
    ]


@dataclass(slots=True)
class ContentAxes:
    """What the unknown layers of an image do, from the index; every layer is read once."""

    index: Index
    _read: dict[ChainId, list[float]] = field(default_factory=dict)

    def of(self, event: Event, history: History) -> list[float]:
        """In the order of `CONTENTS`."""
        layers = history.layers(event)
        if not layers:
            return [0.0] * len(CONTENTS)
        unknown = [layer for layer in layers if layer not in history.chains]
        sums = [math.log1p(sum(column)) for column in zip(*self._rows(unknown), strict=True)]
        last = history.base_of.get(event.repository)
        return [
            1 - len(unknown) / len(layers),
            float(layers[0] not in history.chains),
            float(last is not None and last != layers[0]),
            float(len(unknown)),
            *(sums or [0.0] * (len(CONTENTS) - 4)),
        ]

    def _rows(self, layers: list[ChainId]) -> list[list[float]]:
        for layer in layers:
            if layer not in self._read:
                self._read[layer] = self._row(layer)
        return [self._read[layer] for layer in layers]

    def _row(self, layer: ChainId) -> list[float]:
        (record,) = self.index.chains([layer])
        if record is None:
            return [0.0] * (len(CONTENTS) - 4)
        causes: Mapping[str, int] = _causes(record.changes)
        changes = record.package_changes
        return [
            *(float(record.counts.get(kind, 0)) for kind in ChangeKind),
            *(float(causes.get(c, 0)) for c in (Cause.SETUID, Cause.SENSITIVE_PATH)),
            float(causes.get(Cause.SEARCH_PATH, 0)),
            float(sum(change.before is None for change in changes)),
            float(sum(change.before is not None for change in changes)),
        ]


def _causes(encoded: bytes) -> dict[str, int]:
    found: dict[str, int] = {}
    for change in changecodec.decode(encoded).changes:
        found[change.cause] = found.get(change.cause, 0) + 1
    return found
