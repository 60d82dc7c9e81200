"""`altered-package-file`: a file that a package manager owns differs from the package's checksum.

What was found is in the facts (`layerproof.analysis.integrity`): dpkg's md5sums and conffiles,
apk's and Python's checksums, compared with what each layer brings.

1. A layer answers for what it brings: the file, or the database that states the checksum.
2. Files that people are expected to edit have an effect of their own, `configFiles`.
3. Owned files that the layer brings and that could not be compared are `unknown`; so is a layer
   that was not indexed, and one with more altered files than are listed.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from layerproof.model.facts import ImageFacts, LayerFacts
from layerproof.model.finding import Effect, Finding, Severity, Status
from layerproof.model.ownership import Alteration, AlteredFile
from layerproof.rules.globs import GlobSet
from layerproof.rules.interface import RuleSettings, choice, globs
from layerproof.rules.layers import examples, not_indexed, only_counted
from layerproof.rules.text import plural, show_path, show_text

MAX_FINDINGS = 50  # per layer, before the rest is summed up


@dataclass(frozen=True, slots=True)
class AlteredPackageFileSettings(RuleSettings):
    """`except`: paths that are not judged. `configFiles`: the effect of edited configuration."""

    exceptions: tuple[str, ...] = globs(
        "except", "extraExcept", may_be_empty=True, may_be_everything=False
    )
    config_files: str = choice("configFiles", ("ignore", "alert", "refuse"), default="ignore")


class AlteredPackageFile:
    """See the module."""

    __slots__ = ()

    id: ClassVar[str] = "altered-package-file"
    severity: ClassVar[Severity] = Severity.HIGH
    doc: ClassVar[str] = "A file that a package manager owns differs from the package's checksum."
    settings: ClassVar[type[AlteredPackageFileSettings]] = AlteredPackageFileSettings

    def check(self, facts: ImageFacts, settings: AlteredPackageFileSettings) -> tuple[Finding, ...]:
        """Findings on the layers above the base, lowest first."""
        free = GlobSet(settings.exceptions)
        return tuple(
            finding
            for layer in facts.above_base
            for finding in self._judge(facts, layer, free, Effect(settings.config_files))
        )

    def _judge(
        self, facts: ImageFacts, layer: LayerFacts, free: GlobSet, edited: Effect
    ) -> Iterator[Finding]:
        if layer.changes is None:
            yield not_indexed(self.id, facts, layer)
            return
        files = [f for f in layer.integrity.altered if free.match(f.path) is None]
        listed = [f for f in files if not f.config]
        for file in listed[:MAX_FINDINGS]:
            yield self._finding(layer, file, Effect.REFUSE)
        if listed[MAX_FINDINGS:]:
            yield self._rest(layer, listed[MAX_FINDINGS:])
        if edited is not Effect.IGNORE:
            config = [f for f in files if f.config]
            for file in config[:MAX_FINDINGS]:
                yield self._finding(layer, file, edited)
        missing = layer.integrity.altered_more + layer.integrity.unverifiable
        if missing:
            yield self._unknown(layer, missing)

    def _finding(self, layer: LayerFacts, file: AlteredFile, effect: Effect) -> Finding:
        what = "is no regular file" if file.how is Alteration.KIND else "has other contents"
        kind = "configuration " if file.config else ""
        return Finding(
            rule=self.id,
            status=Status.FAIL,
            severity=Severity.LOW if file.config else self.severity,
            effect=effect,
            message=f"{kind}file {show_path(file.path)} of the package "
            f"{show_text(file.package)} {what} than the package says",
            remedy="install the file from its package; if the change is meant, name the path in "
            "the policy: rules.altered-package-file.extraExcept",
            position=layer.layer.position,
            chain_id=layer.layer.chain_id,
            evidence={
                "path": show_path(file.path),
                "package": show_text(file.package),
                "stated": show_path(file.manifest),
                "expected": file.expected,
                "found": file.found or None,
            },
        )

    def _rest(self, layer: LayerFacts, files: Sequence[AlteredFile]) -> Finding:
        return Finding(
            rule=self.id,
            status=Status.FAIL,
            severity=self.severity,
            message=f"{plural(len(files), 'more package file')} differ from what their packages "
            "say",
            remedy="install these files from their packages",
            position=layer.layer.position,
            chain_id=layer.layer.chain_id,
            evidence=examples([file.path for file in files]),
        )

    def _unknown(self, layer: LayerFacts, count: int) -> Finding:
        message = (
            f"{plural(count, 'package file')} of the layer cannot be compared with what "
            "the packages say"
        )
        remedy = "bring package files by their package manager, not as links to other places"
        return only_counted(self.id, layer, message, remedy, count)
