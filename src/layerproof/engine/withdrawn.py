"""Withdrawn layers are refused, whatever the policy says: a finding that no setting softens.

A withdrawal holds for the layer at its place, inside a trusted base too, and for the same contents
in any other place above the base. Contents without any effect are not matched: every empty layer
has the same DiffID.
"""

from layerproof.model.facts import ImageFacts, LayerFacts
from layerproof.model.finding import Effect, Finding, Severity, Status
from layerproof.model.withdrawal import Withdrawal
from layerproof.rules.text import show_text

WITHDRAWN = "withdrawn"  # stands where rules have their id


def withdrawn_findings(facts: ImageFacts) -> list[Finding]:
    """One per layer that a withdrawal holds for; the newest withdrawal speaks."""
    active = [record for record in facts.withdrawn if record.active(facts.now)]
    height = facts.base.layers if facts.base else 0
    found = []
    for row in facts.layers:
        above = row.layer.position >= height and _has_effect(row)
        touching = [r for r in active if _touches(r, row, above=above)]
        if touching:
            newest = max(touching, key=lambda r: (r.withdrawn_at, r.id))
            found.append(_finding(row, newest))
    return found


def _touches(record: Withdrawal, row: LayerFacts, *, above: bool) -> bool:
    if record.chain_id == row.layer.chain_id:
        return True
    return above and record.diff_id == row.layer.diff_id


def _has_effect(row: LayerFacts) -> bool:
    return row.changes is None or any(row.changes.counts.values())


def _finding(row: LayerFacts, record: Withdrawal) -> Finding:
    here = record.chain_id == row.layer.chain_id
    what = "the layer was" if here else "a layer with the same contents was"
    return Finding(
        rule=WITHDRAWN,
        status=Status.FAIL,
        severity=Severity.CRITICAL,
        effect=Effect.REFUSE,
        message=f"{what} withdrawn by {show_text(record.withdrawn_by)} on "
        f"{record.withdrawn_at:%Y-%m-%d %H:%M} UTC: {show_text(record.reason)}",
        remedy=f"rebuild without it; if it is sound: layerproof pull --release {record.id} "
        "--reason WHY",
        position=row.layer.position,
        chain_id=row.layer.chain_id,
        evidence={
            "withdrawal": record.id,
            "withdrawnBy": record.withdrawn_by,
            "withdrawnAt": record.withdrawn_at.isoformat(),
            "reason": record.reason,
            "image": record.reference,
            "sameContentsOnly": not here,
        },
    )
