"""Verdict records, as rows: what is searched in columns, the whole verdict in a document."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from layerproof.model.digest import ChainId, Digest
from layerproof.model.facts import Context
from layerproof.model.finding import Effect, Finding, Severity, Status
from layerproof.model.page import Cursor, Page
from layerproof.model.record import VerdictRecord
from layerproof.model.verdict import Base, Decision, LayerVerdict, Trust, Verdict
from layerproof.store import codec
from layerproof.store.executor import Executor, Row, Session, first


def write(executor: Executor, record: VerdictRecord) -> None:
    """Insert, or replace the record of the same id."""
    verdict = record.verdict
    with executor.write() as session:
        session.run(
            "put_verdict",
            identity=codec.text(record.id),
            made_from=record.made_from,
            reference=codec.text(verdict.reference),
            config_digest=codec.raw(verdict.config_digest),
            decided_at=codec.micros(record.decided_at),
            holds_until=codec.micros(record.holds_until),
            decision=str(verdict.decision),
            document=codec.document(_document(record)),
        )


def read(session: Session, beginning: str) -> list[VerdictRecord]:
    """By the beginning of their ids."""
    last = beginning + "g"  # ids are hexadecimal
    found = session.rows("verdicts_by_identity", first=codec.text(beginning), last=codec.text(last))
    return [_record(row) for row in found]


def read_made_from(session: Session, made_from: bytes, now: datetime) -> VerdictRecord | None:
    """The newest one made from this and not after `now`."""
    found = session.rows("verdict_made_from", made_from=made_from, now=codec.micros(now))
    row = first(found)
    return None if row is None else _record(row)


def read_all(session: Session, reference: str) -> Iterator[VerdictRecord]:
    """Those of one reference, or of all if it is "", newest first."""
    rows = (
        session.stream("verdicts_of", reference=codec.text(reference))
        if reference
        else session.stream("verdicts")
    )
    return map(_record, rows)


def page(
    session: Session, limit: int, after: Cursor | None, reference: str, decision: str
) -> Page[VerdictRecord]:
    """Some of them, newest first; of one reference, of one decision, where given."""
    rows = session.rows(
        "verdicts_page",
        **codec.before(after),
        limit=limit + 1,
        wanted_reference=codec.text(reference),
        wanted_decision=decision,
    )
    return Page.of([(_record(row), Cursor(row[5], row[0])) for row in rows], limit)


def _document(record: VerdictRecord) -> dict[str, Any]:
    verdict, context = record.verdict, record.context
    base = verdict.base
    return {
        "manifest": verdict.manifest_digest,
        "verdict": str(verdict.verdict),
        "base": base and [base.trusted_image, base.chain_id, base.layers],
        "layers": [
            [la.position, la.chain_id, str(la.verdict), la.in_base, [*map(_finding, la.findings)]]
            for la in verdict.layers
        ],
        "findings": [*map(_finding, verdict.findings)],
        "inputs": dict(verdict.inputs),
        "notes": verdict.notes,
        "message": verdict.message,
        "context": [
            context.gate,
            context.namespace,
            context.host,
            None if context.labels is None else dict(context.labels),
        ],
    }


def _finding(finding: Finding) -> list[Any]:
    return [
        finding.rule,
        str(finding.status),
        str(finding.severity),
        str(finding.effect),
        finding.message,
        finding.remedy,
        finding.position,
        finding.chain_id,
        dict(finding.evidence),
    ]


def _record(row: Row) -> VerdictRecord:
    _, identity, made_from, reference, config, decided_at, holds_until, decision, document = row
    with codec.decoding("row of a verdict"):
        found = codec.undocument(document)
        base = found["base"]
        return VerdictRecord(
            id=codec.untext(identity),
            made_from=made_from,
            verdict=Verdict(
                reference=codec.untext(reference),
                manifest_digest=found["manifest"] and Digest(found["manifest"]),
                config_digest=codec.digest(Digest, config),
                verdict=Trust(found["verdict"]),
                decision=Decision(decision),
                base=base and Base(base[0], ChainId(base[1]), base[2]),
                layers=tuple(map(_layer, found["layers"])),
                findings=tuple(map(_unfinding, found["findings"])),
                inputs=_inputs(found["inputs"]),
                notes=tuple(found["notes"]),
                message=found["message"],
            ),
            decided_at=codec.unmicros(decided_at),
            holds_until=codec.unmicros(holds_until),
            context=Context(*found["context"]),
        )


def _inputs(found: Mapping[str, Any]) -> dict[str, object]:
    policy = found.get("policy")
    return {**found, **({"policy": Digest(policy)} if policy else {})}


def _layer(values: list[Any]) -> LayerVerdict:
    position, chain_id, verdict, in_base, findings = values
    found = tuple(map(_unfinding, findings))
    return LayerVerdict(position, ChainId(chain_id), Trust(verdict), in_base, found)


def _unfinding(values: list[Any]) -> Finding:
    rule, status, severity, effect, message, remedy, position, chain_id, evidence = values
    return Finding(
        rule=rule,
        status=Status(status),
        severity=Severity(severity),
        effect=Effect(effect),
        message=message,
        remedy=remedy,
        position=position,
        chain_id=chain_id and ChainId(chain_id),
        evidence=evidence,
    )
