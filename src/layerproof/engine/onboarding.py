"""The job that indexes an image and judges it, before anyone starts it.

1. The image is resolved by its digest: what the registry delivers must have it, so a registry that
   lies, or a tag that moved, changes nothing.
2. Of an image index, every platform is indexed.
3. A tag that was reported with the digest becomes a name of the image, as of the time of the
   report: reports that come late do not make an older image the newest one of its tag.
4. The verdict is made, and kept by the index.

Done twice, it changes nothing more.
"""

from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol

from layerproof.engine.decide import decide
from layerproof.engine.indexer import Indexer
from layerproof.engine.ports import Advisories, Clock, ImageSource, Index
from layerproof.engine.queue import CancelledError
from layerproof.model.facts import Context
from layerproof.model.image import Image, Platform
from layerproof.model.record import VerdictRecord
from layerproof.model.reference import Reference, parse_reference
from layerproof.policy.model import Policy

CONTEXT = Context(gate="registry")


class RegistryImage(ImageSource, Protocol):
    """A source that can tell which platforms there are."""

    def platforms(self) -> tuple[Platform, ...]:
        """Those of an image index; none where the reference names one image."""


@dataclass(frozen=True, slots=True)
class Onboarding:
    """All that the job needs, put together by `wiring`."""

    index: Index
    indexer: Indexer
    clock: Clock
    policy: Callable[[], Policy]
    open_source: Callable[[Reference], AbstractContextManager[RegistryImage]]
    advisories: Advisories | None = None

    def run(
        self,
        arguments: Mapping[str, str],
        progress: Callable[[Mapping[str, object]], None],
        cancelled: Callable[[], bool] = lambda: False,
    ) -> list[VerdictRecord]:
        """Index and judge. Raises what the indexer raises, and CancelledError."""
        reference = parse_reference(arguments["reference"])
        with self.open_source(reference) as source:
            records = [
                self._one(source, platform, reference, arguments, progress, cancelled)
                for platform in source.platforms() or (None,)
            ]
        progress({"verdicts": [_summary(record) for record in records]})
        return records

    def _one(
        self,
        source: RegistryImage,
        platform: Platform | None,
        reference: Reference,
        arguments: Mapping[str, str],
        progress: Callable[[Mapping[str, object]], None],
        cancelled: Callable[[], bool],
    ) -> VerdictRecord:
        watched = Watched(progress, cancelled)
        image = self.indexer.run(source, watched, image=source.resolve(platform)).image
        if reference.tag and "seenAt" in arguments:
            seen_at = datetime.fromisoformat(arguments["seenAt"])
            named = replace(image, reference=str(replace(reference, digest=None)))
            self.index.put_image(named, [], self.clock.now(), seen_at)
        return decide(
            self.index,
            image,
            self.policy(),
            self.clock.now(),
            self.indexer.analysers,
            context=CONTEXT,
            advisories=self.advisories,
        )


def _summary(record: VerdictRecord) -> dict[str, object]:
    verdict = record.verdict
    return {
        "id": record.id,
        "manifestDigest": verdict.manifest_digest,
        "verdict": str(verdict.verdict),
        "decision": str(verdict.decision),
    }


@dataclass(slots=True)
class Watched:
    """An indexer's observer that tells a job's progress, and stops it when it was cancelled."""

    tell: Callable[[Mapping[str, object]], None]
    cancelled: Callable[[], bool]
    _layers: int = 0
    _done: set[int] = field(default_factory=set)
    _bytes: dict[int, int] = field(default_factory=dict)

    def resolved(self, image: Image, known: Collection[int]) -> None:
        """The image is known now."""
        self._layers = len(image.layers)
        self._done.update(known)
        self._say()

    def layer_progress(self, position: int, bytes_read: int) -> None:
        """So many bytes of the layer were read so far."""
        self._bytes[position] = bytes_read
        self._say()

    def layer_done(self, position: int) -> None:
        """The layer is in the index."""
        self._done.add(position)
        self._say()

    def _say(self) -> None:
        if self.cancelled():
            raise CancelledError(
                "the job was cancelled",
                where="job",
                remedy="finished layers are kept; queue it again to go on",
            )
        self.tell(
            {
                "layers": self._layers,
                "layersDone": len(self._done),
                "bytesRead": sum(self._bytes.values()),
            }
        )
