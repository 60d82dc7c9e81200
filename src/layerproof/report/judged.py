"""What the reports on verdicts share."""

from collections.abc import Iterator
from dataclasses import dataclass

from layerproof.errors import LayerproofError
from layerproof.model.finding import Finding
from layerproof.model.image import Image
from layerproof.model.verdict import LayerVerdict, Verdict


@dataclass(frozen=True, slots=True)
class Judged:
    """One image and what was decided about it."""

    image: Image
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Failed:
    """An image about which nothing could be decided."""

    reference: str
    error: LayerproofError


def located(verdict: Verdict) -> Iterator[tuple[LayerVerdict | None, Finding]]:
    """Every finding and its layer, those on the whole image first (None)."""
    for finding in verdict.findings:
        yield None, finding
    for layer in verdict.layers:
        for finding in layer.findings:
            yield layer, finding


def digest_of(verdict: Verdict) -> str:
    """What names the judged bytes: the manifest, or the config where there is no manifest."""
    return verdict.manifest_digest or verdict.config_digest
