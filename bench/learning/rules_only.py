"""The product's own rules under its built-in policy, as a baseline: no model, no history.

The image's base is what an operator trusted. Advisories speak for everything and know of nothing,
so that what is left is what a layer does. Trust is 1 without a finding, and less by the worst one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from layerproof.analysis.current import CURRENT
from layerproof.engine.decide import decide_at
from layerproof.engine.ports import Index
from layerproof.model.finding import Effect, Finding, Severity
from layerproof.policy.defaults import DEFAULT_POLICY
from layerproof.testing.advisories import nothing_known
from learning.cases import Case, Score, Track

_SEVERITIES = tuple(Severity)


@dataclass(slots=True)
class RulesOnly:
    """See the module; a verdict on a digest is made once for all seeds."""

    name: str = "rules only"
    needs_attacks: bool = False
    _index: Index | None = None
    _made: dict[str, float] = field(default_factory=dict)

    def fit(self, track: Track, until: datetime, seed: int, known_attacks: Sequence[Case]) -> None:
        """There is nothing to learn."""
        self._index = track.index

    def score(self, cases: Sequence[Case]) -> list[Score]:
        """See `Scorer`."""
        return [Score(self._trust(case)) for case in cases]

    def _trust(self, case: Case) -> float:
        digest = case.event.manifest_digest
        if digest is None or self._index is None:
            return 0.0
        if digest not in self._made:
            self._made[digest] = self._judge(self._index, case)
        return self._made[digest]

    def _judge(self, index: Index, case: Case) -> float:
        assert case.event.manifest_digest is not None, "asked before"
        known = index.image_by_manifest(case.event.manifest_digest)
        if known is None:
            return 0.0
        at = case.event.at
        record = decide_at(
            index, known.image, DEFAULT_POLICY, at, CURRENT, advisories=nothing_known(at)
        )
        found = [f for layer in record.verdict.layers for f in layer.findings]
        return _trust_of([*record.verdict.findings, *found])


def _trust_of(findings: Sequence[Finding]) -> float:
    """1 without findings that count; the more severe the worst, and the more of them, the less."""
    counted = [f for f in findings if f.effect is not Effect.IGNORE]
    if not counted:
        return 1.0
    worst = max(_SEVERITIES.index(f.severity) for f in counted)
    return (len(_SEVERITIES) - worst) / (len(_SEVERITIES) + 1) / (1 + len(counted) / 100)
