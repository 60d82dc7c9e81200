"""A training run: an index and a time go in, a model comes out. The same again, byte for byte."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256

from layerproof.engine.ports import Index
from layerproof.learning.assess import Assessor
from layerproof.learning.features import CONTENTS, CONTEXT, Feature, chosen, schema_digest
from layerproof.learning.history import History
from layerproof.learning.model import (
    FORM,
    Model,
    Part,
    Settings,
    Training,
    model_digest,
    parse_model,
    write_model,
)
from layerproof.learning.snapshot import read_history, write_history
from layerproof.learning.trees import Scorer
from layerproof.model.learned import ALL_KINDS, Kind
from layerproof.training.boost import boost
from layerproof.training.calibration import expected_error, knots
from layerproof.training.options import TrainingOptions
from layerproof.training.walk import Good, Table, Walked, walk

_KNOWN_GOOD = 6  # digits of a score that is kept


@dataclass(frozen=True)
class LearnedModel:
    """What a training run made. `data` is the model file, `state` the history as of `until`."""

    model: Model
    data: bytes
    state: bytes
    facts: dict[str, object]  # for the model card: plain JSON values

    @property
    def digest(self) -> str:
        """Identity of the model."""
        return model_digest(self.data)

    def history(self) -> History:
        """A fresh copy of the history as of `until`."""
        return read_history(self.state)

    def assessor(self) -> Assessor:
        """Ready to score."""
        return Assessor(self.model, self.digest)


def train(
    index: Index,
    until: datetime,
    *,
    seed: int = 0,
    kinds: Collection[Kind] = ALL_KINDS,
    options: TrainingOptions | None = None,
) -> LearnedModel:
    """Learn from what happened before `until`. Raises UsageError where LightGBM is missing,
    ModelError for a model that would break its own rules."""
    said = options or TrainingOptions()
    walked = walk(index, until, seed, said)
    context = _part(walked.fit.context, walked.calibration.context, CONTEXT, kinds, seed, said)
    contents = None
    if Kind.CONTENTS in kinds:
        tables = walked.fit.contents, walked.calibration.contents
        contents = _part(*tables, CONTENTS, kinds, seed, said)
    model = Model(
        form=FORM,
        schema=schema_digest(),
        training=Training(
            digest=_digest(walked),
            seed=seed,
            until=until.astimezone(UTC).isoformat(),
            events=walked.events,
            rows=len(walked.fit.context) + len(walked.fit.contents),
            kinds=sorted(kinds),
        ),
        settings=Settings(
            maturity_days=said.maturity_days,
            alpha=said.alpha,
            trusted_above=said.trusted_above,
            window=said.window,
        ),
        context=context,
        contents=contents,
        scores={},
        drift=_drift(walked),
    )
    model = _with_scores(model, walked.good, said.window)
    data = write_model(model)
    if model.context is not None or model.contents is not None:
        parse_model(data)  # what we make ourselves is held to the same rules
    return LearnedModel(model, data, write_history(walked.history), _facts(model, walked))


def _part(
    fit: Table,
    calibration: Table,
    features: tuple[Feature, ...],
    kinds: Collection[Kind],
    seed: int,
    options: TrainingOptions,
) -> Part | None:
    """None where there is nothing to learn from."""
    columns = chosen(features, kinds)
    bias, trees = boost(fit, features, columns, seed, options)
    if not trees:
        return None
    plain = Part(list(columns), bias, trees, [(-1.0, -1.0), (1.0, 1.0)])
    return Part(list(columns), bias, trees, knots(calibration, Scorer(plain)))


def _with_scores(model: Model, good: Sequence[Good], limit: int) -> Model:
    """With the scores of known-good images of the calibration block."""
    context = Scorer(model.context) if model.context else None
    contents = Scorer(model.contents) if model.contents else None
    scores: dict[str, list[float]] = {}
    for found in good:
        trusts = [context.trust(context.raw(found.context))] if context else []
        if contents:
            trusts.extend(contents.trust(contents.raw(row)) for row in found.contents)
        if trusts:
            scores.setdefault(found.group, []).append(min(trusts))
    kept = {group: sorted(found[-limit:]) for group, found in sorted(scores.items())}
    return Model(
        **{name: getattr(model, name) for name in model.__struct_fields__} | {"scores": kept}
    )


def _drift(walked: Walked) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for table, features in ((walked.fit.context, CONTEXT), (walked.fit.contents, CONTENTS)):
        if len(table):
            real = table.rows()[[at for at, label in enumerate(table.labels) if label]]
            for column, feature in enumerate(features):
                counts = Counter(real[:, column].tolist())
                found[feature.name] = [counts.get(value, 0) for value in range(feature.top + 1)]
    return found


def _digest(walked: Walked) -> str:
    """Over all that was learned from."""
    seen = sha256(schema_digest().encode())
    for block in (walked.fit, walked.calibration):
        for table in (block.context, block.contents):
            seen.update(len(table).to_bytes(8, "big"))
            seen.update(bytes(table.data))
            seen.update(bytes(table.labels))
            seen.update(repr(table.weights).encode())
    return "sha256:" + seen.hexdigest()


def _facts(model: Model, walked: Walked) -> dict[str, object]:
    facts: dict[str, object] = {
        "events": walked.events,
        "countedEvents": walked.history.counted,
        "knownGood": {group: len(scores) for group, scores in model.scores.items()},
    }
    for name, part, fit, calibration in (
        ("context", model.context, walked.fit.context, walked.calibration.context),
        ("contents", model.contents, walked.fit.contents, walked.calibration.contents),
    ):
        if part is None:
            facts[name] = None
            continue
        features = CONTEXT if name == "context" else CONTENTS
        splits = Counter(features[c].kind.value for t in part.trees for c in t.features)
        facts[name] = {
            "rows": len(fit),
            "realRows": sum(fit.labels),
            "calibrationRows": len(calibration),
            "trees": len(part.trees),
            "splitsByKind": dict(sorted(splits.items())),
            "monotoneViolations": 0,
            "calibrationErrorInSample": round(expected_error(calibration, Scorer(part)), 4),
        }
    return facts
