"""What gates answered, for people and for programs."""

from collections.abc import Iterator, Sequence

from layerproof.model.gate import Tally
from layerproof.model.verdict import Decision
from layerproof.rules.text import show_text


def tally_document(tally: Tally) -> dict[str, object]:
    """One kind of answer, with how often it was given."""
    return {
        "apiVersion": "layerproof/v1",
        "kind": "GateAnswers",
        "gate": tally.gate,
        "host": tally.host,
        "namespace": tally.namespace,
        "reference": tally.reference,
        "mode": str(tally.mode),
        "cause": str(tally.cause),
        "decided": str(tally.decided),
        "decision": str(tally.decision),
        "reason": tally.reason,
        "firstAt": tally.first_at.isoformat(),
        "lastAt": tally.last_at.isoformat(),
        "count": tally.count,
    }


def status_document(gate: str, checks: Sequence[tuple[str, bool, str]]) -> dict[str, object]:
    """Whether a gate bites: what was looked at, whether it is as it should be, and details."""
    return {
        "apiVersion": "layerproof/v1",
        "kind": "GateStatus",
        "gate": gate,
        "bites": all(passed for _, passed, _ in checks),
        "checks": [
            {"check": what, "passed": passed, "details": details}
            for what, passed, details in checks
        ],
    }


def tally_lines(tallies: Sequence[Tally], since: str) -> Iterator[str]:
    """A summary by place, then what was or would have been refused, the most frequent first."""
    if not tallies:
        yield f"no gate answered in the last {since}"
        return
    yield f"{'gate':<12}{'where':<24}{'mode':<10}{'admitted':>10}{'refused':>10}{'would be':>10}"
    for (gate, where, mode), rows in _by_place(tallies).items():
        refused = _sum(t for t in rows if t.decision is Decision.REFUSE)
        would = _sum(t for t in rows if _would(t))
        total = _sum(rows)
        yield (
            f"{gate:<12}{show_text(where, 23):<24}{mode:<10}"
            f"{total - refused:>10,}{refused:>10,}{would:>10,}"
        )
    bad = [t for t in tallies if t.decided is Decision.REFUSE]
    for tally in sorted(bad, key=lambda t: -t.count):
        what = "would refuse" if _would(tally) else "refused"
        yield ""
        yield f"{what} {tally.count:,} x {show_text(tally.reference or 'a request')}"
        yield f"  {tally.gate} {tally.cause}: {show_text(tally.reason, 500)}"


def _would(tally: Tally) -> bool:
    return tally.decided is Decision.REFUSE and tally.decision is not Decision.REFUSE


def _sum(tallies: "Sequence[Tally] | Iterator[Tally]") -> int:
    return sum(tally.count for tally in tallies)


def _by_place(tallies: Sequence[Tally]) -> dict[tuple[str, str, str], list[Tally]]:
    found: dict[tuple[str, str, str], list[Tally]] = {}
    for tally in tallies:
        where = "/".join(filter(None, (tally.host, tally.namespace)))
        found.setdefault((tally.gate, where, str(tally.mode)), []).append(tally)
    return dict(sorted(found.items()))
