"""`secret`: a layer or the config holds a private key or a token of a well-known format.

1. Files: `layerproof.analysis.secrets` names kind, path and line. A later layer that deletes the
   file does not take it back: whoever has the image has the lower layer.
2. Environment, labels, command and history of the config are searched here. What the config of the
   trusted base says already is not this image's doing.
3. Keys inside installed packages (tests, examples) are milder: at most an alert.

No finding repeats a secret.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from layerproof.analysis.secret_formats import find_secrets
from layerproof.model.facts import ImageFacts, LayerFacts
from layerproof.model.finding import Effect, Finding, Severity, Status
from layerproof.model.image import Image
from layerproof.rules.globs import GlobSet
from layerproof.rules.interface import RuleSettings, globs
from layerproof.rules.layers import not_indexed
from layerproof.rules.text import plural, show_text

MAX_FINDINGS = 50  # per layer, before the rest is summed up
_REMEDY = (
    "revoke it at its issuer, build again without it, and give it to the container when it runs"
)
_PACKAGES = ("/usr/lib/", "/usr/share/", "/node_modules/", "/site-packages/", "/dist-packages/")


@dataclass(frozen=True, slots=True)
class SecretSettings(RuleSettings):
    """`except`: paths that are not judged."""

    exceptions: tuple[str, ...] = globs(
        "except", "extraExcept", may_be_empty=True, may_be_everything=False
    )


class Secret:
    """See the module."""

    __slots__ = ()

    id: ClassVar[str] = "secret"
    severity: ClassVar[Severity] = Severity.HIGH
    doc: ClassVar[str] = "A layer or the config holds a private key or a token of a known format."
    settings: ClassVar[type[SecretSettings]] = SecretSettings

    def check(self, facts: ImageFacts, settings: SecretSettings) -> tuple[Finding, ...]:
        """Findings on the layers above the base, lowest first, then on the whole image."""
        free = GlobSet(settings.exceptions)
        found = [f for layer in facts.above_base for f in self._judge(facts, layer, free)]
        return (*found, *self._config(facts))

    def _judge(self, facts: ImageFacts, layer: LayerFacts, free: GlobSet) -> Iterator[Finding]:
        if layer.changes is None:
            yield not_indexed(self.id, facts, layer)
            return
        said = layer.facts.get("secrets")
        listed = said.get("found") if isinstance(said, dict) else None
        files = [
            item
            for item in (listed if isinstance(listed, list) else ())
            if free.match(str(item["path"]).encode()) is None
        ]
        for item in files[:MAX_FINDINGS]:
            yield self._finding(layer, item)
        more = len(files[MAX_FINDINGS:]) + (said.get("more", 0) if isinstance(said, dict) else 0)
        if more:
            yield Finding(
                rule=self.id,
                status=Status.FAIL,
                severity=self.severity,
                message=f"{plural(more, 'more secret')} in the layer",
                remedy=_REMEDY,
                position=layer.layer.position,
                chain_id=layer.layer.chain_id,
                evidence={"total": more},
            )

    def _finding(self, layer: LayerFacts, item: Mapping[str, Any]) -> Finding:
        path, kind, line = show_text("/" + str(item["path"])), str(item["kind"]), item["line"]
        packaged = any(part in path for part in _PACKAGES)
        return Finding(
            rule=self.id,
            status=Status.FAIL,
            severity=Severity.LOW if packaged else self.severity,
            effect=Effect.ALERT if packaged else Effect.REFUSE,
            message=f"{path} holds a secret: {kind} in line {line}",
            remedy=_REMEDY,
            position=layer.layer.position,
            chain_id=layer.layer.chain_id,
            evidence={"path": path, "kind": kind, "line": line},
        )

    def _config(self, facts: ImageFacts) -> Iterator[Finding]:
        base: set[tuple[str, str]] = set()
        if facts.base is not None:
            for known in facts.below.get(facts.base.chain_id, ()):
                base |= set(_texts(known.image))
        seen: dict[tuple[str, str], None] = {}
        for place, text in _texts(facts.image):
            if (place, text) in base:
                continue
            for kind, _ in find_secrets(text.encode("utf-8", "surrogatepass")):
                seen.setdefault((place, kind))
        for place, kind in list(seen)[:MAX_FINDINGS]:
            yield Finding(
                rule=self.id,
                status=Status.FAIL,
                severity=self.severity,
                message=f"{show_text(place)} of the config holds a secret: {kind}",
                remedy=_REMEDY,
                evidence={"place": show_text(place), "kind": kind},
            )


def _texts(image: Image) -> Iterator[tuple[str, str]]:
    """Where texts stand in the config, and the texts."""
    run = image.config.get("config")
    if isinstance(run, dict):
        for entry in _list(run.get("Env")):
            yield f"the variable {entry.partition('=')[0][:60]}", entry
        labels = run.get("Labels")
        if isinstance(labels, dict):
            for name, value in labels.items():
                if isinstance(value, str):
                    yield f"the label {str(name)[:60]}", value
        for key in ("Cmd", "Entrypoint"):
            yield f"the {key.lower()}", " ".join(_list(run.get(key)))
    for number, step in enumerate(image.history):
        yield f"history entry {number}", f"{step.created_by}\n{step.comment}"


def _list(value: object) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []
