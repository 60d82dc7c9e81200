"""Verdicts to report on, made by hand."""

from tests.unit.rules.facts_builder import make_image

from layerproof.errors import ImageNotFoundError
from layerproof.model.finding import Effect, Finding, Severity, Status
from layerproof.model.image import Image
from layerproof.model.verdict import Base, Decision, LayerVerdict, Trust, Verdict
from layerproof.report.judged import Failed, Judged

# Markup, a mention, a link, HTML, a table bar, a fence, an escape sequence, a bidi override, and
# characters that XML cannot hold.
EVIL = (
    "`` ``` | \\| <img src=x> @admin [x](http://e.vil) ]]> &amp;"
    " \x1b[2J \u202e \x00 \ufffe \ud800\n# x"
)


def finding(message: str = "deletes /etc/shadow", **more: object) -> Finding:
    fields: dict[str, object] = {
        "rule": "protected-path",
        "status": Status.FAIL,
        "severity": Severity.HIGH,
        "message": message,
        "remedy": "rebuild without it",
        "evidence": {"path": "/etc/shadow"},
        **more,
    }
    return Finding(**fields)  # type: ignore[arg-type]  # because tests name the fields


def judged(
    *on_top: Finding,
    on_image: tuple[Finding, ...] = (),
    decision: Decision = Decision.REFUSE,
    reference: str = "docker://registry.example/team/app:1.4",
    image: Image | None = None,
) -> Judged:
    """An application of one layer on a base of one; the findings are on the top layer."""
    image = image or make_image("os", "app", reference=reference)
    trust = Trust.UNTRUSTED if on_top else Trust.TRUSTED
    lowest, top = image.layers
    verdict = Verdict(
        reference=reference,
        manifest_digest=image.manifest_digest,
        config_digest=image.config_digest,
        verdict=trust,
        decision=decision,
        base=Base("docker://registry.example/golden:12", lowest.chain_id, 1),
        layers=(
            LayerVerdict(0, lowest.chain_id, Trust.TRUSTED, in_base=True),
            LayerVerdict(1, top.chain_id, trust, in_base=False, findings=on_top),
        ),
        findings=on_image,
        inputs={"policy": "sha256:" + "0" * 64},
    )
    return Judged(image, verdict)


ALERT = finding("a label cannot be confirmed", rule="lying-base-label", effect=Effect.ALERT)
UNKNOWN = finding("the layer is not indexed", status=Status.UNKNOWN)
MISSING = Failed("docker://registry.example/gone", ImageNotFoundError("no such tag", remedy="look"))
