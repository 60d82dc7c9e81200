"""`foreign-executable`: a layer adds an executable or script that no package owns.

What was found is in the facts (`layerproof.analysis.integrity`): ELF files, scripts that can be
started, and other files with an execute bit, without those that dpkg, apk, Python or npm list.

1. Places that belong to applications are left out (`paths`): there, executables without a package
   are what one expects. A file right in the root folder counts as an application's, too.
2. A file with an execute bit that is neither ELF nor script is milder, and at most an alert: whole
   trees are often copied with such modes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from layerproof.model.facts import ImageFacts, LayerFacts
from layerproof.model.finding import Effect, Finding, Severity, Status
from layerproof.model.ownership import ForeignFile
from layerproof.rules.globs import GlobSet
from layerproof.rules.interface import RuleSettings, globs
from layerproof.rules.layers import examples, not_indexed, only_counted
from layerproof.rules.text import plural, show_path

MAX_FINDINGS = 50  # per layer, before the rest is summed up
# Where images keep applications: FHS 3.0 (/opt, /srv, /home, /usr/local), the working folders of
# the common base images, buildpacks, functions.
APPLICATION_PATHS = (
    "/*",
    "/app/**",
    "/cnb/**",
    "/code/**",
    "/data/**",
    "/docker-entrypoint*/**",
    "/function/**",
    "/go/**",
    "/home/**",
    "/layers/**",
    "/opt/**",
    "/srv/**",
    "/usr/local/**",
    "/usr/src/**",
    "/var/runtime/**",
    "/var/task/**",
    "/var/www/**",
    "/workspace/**",
)
_NAMES = {"elf": "program or library", "script": "script", "executable": "executable file"}


@dataclass(frozen=True, slots=True)
class ForeignExecutableSettings(RuleSettings):
    """`paths`: globs of places that are left to applications."""

    paths: tuple[str, ...] = globs(
        "paths", "extraPaths", default=APPLICATION_PATHS, may_be_empty=True, may_be_everything=False
    )


class ForeignExecutable:
    """See the module."""

    __slots__ = ()

    id: ClassVar[str] = "foreign-executable"
    severity: ClassVar[Severity] = Severity.MEDIUM
    doc: ClassVar[str] = (
        "A layer adds an executable or script that no package owns, outside the places of "
        "applications."
    )
    settings: ClassVar[type[ForeignExecutableSettings]] = ForeignExecutableSettings

    def check(self, facts: ImageFacts, settings: ForeignExecutableSettings) -> tuple[Finding, ...]:
        """Findings on the layers above the base, lowest first."""
        places = GlobSet(settings.paths)
        return tuple(
            finding for layer in facts.above_base for finding in self._judge(facts, layer, places)
        )

    def _judge(self, facts: ImageFacts, layer: LayerFacts, places: GlobSet) -> Iterator[Finding]:
        if layer.changes is None:
            yield not_indexed(self.id, facts, layer)
            return
        files = [f for f in layer.integrity.foreign if places.match(f.path) is None]
        for plain in (False, True):
            group = [f for f in files if (f.kind == "executable") is plain]
            for file in group[:MAX_FINDINGS]:
                yield self._finding(layer, file)
            if group[MAX_FINDINGS:]:
                yield self._rest(layer, group[MAX_FINDINGS:])
        if layer.integrity.foreign_more:
            yield self._unknown(layer, layer.integrity.foreign_more)

    def _finding(self, layer: LayerFacts, file: ForeignFile) -> Finding:
        plain = file.kind == "executable"
        return Finding(
            rule=self.id,
            status=Status.FAIL,
            severity=Severity.LOW if plain else self.severity,
            effect=Effect.ALERT if plain else Effect.REFUSE,
            message=f"{_NAMES.get(file.kind, file.kind)} {show_path(file.path)} belongs to no "
            "package",
            remedy="bring it by a package, or put it where applications are; other such places "
            "are named in the policy: rules.foreign-executable.extraPaths",
            position=layer.layer.position,
            chain_id=layer.layer.chain_id,
            evidence={
                "path": show_path(file.path),
                "kind": file.kind,
                "mode": f"{file.mode:04o}",
                "sha256": file.sha256.hex(),
            },
        )

    def _rest(self, layer: LayerFacts, files: Sequence[ForeignFile]) -> Finding:
        plain = files[0].kind == "executable"
        return Finding(
            rule=self.id,
            status=Status.FAIL,
            severity=Severity.LOW if plain else self.severity,
            effect=Effect.ALERT if plain else Effect.REFUSE,
            message=f"{plural(len(files), 'more executable')} belong to no package",
            remedy="bring them by packages, or put them where applications are",
            position=layer.layer.position,
            chain_id=layer.layer.chain_id,
            evidence=examples([file.path for file in files]),
        )

    def _unknown(self, layer: LayerFacts, count: int) -> Finding:
        message = (
            f"{plural(count, 'executable')} of the layer cannot be judged: only a count is known"
        )
        remedy = "split the layer"
        return only_counted(self.id, layer, message, remedy, count)
