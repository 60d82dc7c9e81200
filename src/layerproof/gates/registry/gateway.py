"""What the gateway serves: decided by digest, from bytes that were hashed here.

1. A tag is resolved once, and what has that digest is judged and served: nobody gets other bytes
   than those (CVE-2022-47633, CVE-2023-47630). For a while the tag goes on to name them.
2. A manifest is read strictly: one that is two documents at once (GHSA-qq97-vm5h-rrhg), names a key
   twice, or is not of the type that it was delivered as, is refused whatever it holds.
3. An image is served if its verdict admits it. An index is served as it is: it holds no layers, and
   each of its manifests is judged when it is fetched.
4. An artifact (a signature, an attestation, a bill of materials) is served if nothing in it can be
   run, and if the image that it belongs to is admitted: by `subject`, by cosign's tag, or as an
   index says. What belongs to nothing is refused.
5. A blob is served for a manifest of its repository that names it and that is admitted *now*. The
   digest alone opens nothing.
6. Referrers are listed for an image that is admitted.
"""

import hashlib
import json
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from layerproof.errors import (
    CorruptImageError,
    LimitExceededError,
    UnsupportedError,
)
from layerproof.gates.interface import Decider
from layerproof.gates.registry.documents import (
    denied,
    unreachable_blob,
)
from layerproof.gates.registry.interface import Fetched, Known, Listing, Upstream
from layerproof.gates.registry.reach import Holder, Reach
from layerproof.gates.registry.requests import Wanted
from layerproof.model.digest import Digest
from layerproof.model.facts import Context
from layerproof.model.gate import Answer, Question
from layerproof.model.image import Descriptor
from layerproof.model.verdict import Decision
from layerproof.oci.limits import Limits
from layerproof.oci.manifest import ImageIndex, is_layer_type, parse_json, parse_manifest

GATE = "registry"
TAG_SECONDS = 30.0
MANIFEST_SECONDS = 300.0  # how long a client that could read a manifest is believed to go on
MOST_MANIFEST_BYTES = 64 << 20
_COSIGN = re.compile(r"sha256-([a-f0-9]{64})(?:\.(?:sig|att|sbom))?")
_ATTESTS = "vnd.docker.reference.digest"


@dataclass(frozen=True, slots=True)
class Blob:
    """A blob that may be served."""

    descriptor: Descriptor
    sized: bool  # whether its size is known


class Gateway:
    """For one event loop. `monotonic`: seconds."""

    def __init__(
        self,
        decider: Decider,
        upstream: Upstream,
        known: Known,
        limits: Limits,
        monotonic: Callable[[], float],
        tag_seconds: float = TAG_SECONDS,
        tell: Callable[[Context, str, Answer], None] = lambda *_: None,
    ) -> None:
        self._decider = decider
        self._upstream = upstream
        self._known = known
        self._limits = limits
        self._monotonic = monotonic
        self._tag_seconds = tag_seconds
        self._tell = tell
        self._reach = Reach()
        self._context = Context(GATE)
        self._tags: OrderedDict[tuple[str, str, str], tuple[float, Digest]] = OrderedDict()
        self._kept: OrderedDict[tuple[str, str, Digest], tuple[float, Fetched]] = OrderedDict()
        self._bytes = 0

    async def manifest(self, wanted: Wanted, authorization: str) -> Fetched:
        """An admitted one. Raises Refusal, SourceError."""
        found = await self._fetched(wanted, authorization)
        where = f"{self._upstream.host}/{wanted.name}@{found.digest}"
        try:
            document = parse_manifest(
                found.data, media_type=found.media_type, where=where, limits=self._limits
            )
        except UnsupportedError as error:
            await self._artifact(wanted, found, where, error)
            return found
        except (CorruptImageError, LimitExceededError) as error:
            self._corrupt(wanted.name, found, error, where)
            return found
        if isinstance(document, ImageIndex):
            self._reach.attest(wanted.name, _attested(document))
            return found
        answer = await self._answer(wanted.name, found.digest)
        self._noted(wanted.name, answer)
        if answer.decision is Decision.REFUSE:
            raise denied(answer)
        self._reached(wanted.name, found.digest, (document.config, *document.layers))
        return found

    async def blob(self, wanted: Wanted) -> Blob:
        """One that may be served. Raises Refusal."""
        assert wanted.digest is not None
        holders = self._reach.holders(wanted.name, wanted.digest)
        if not holders:
            for manifest, descriptor in await self._known.holders(wanted.name, wanted.digest):
                self._reach.add(wanted.name, wanted.digest, Holder(manifest, descriptor))
            holders = self._reach.holders(wanted.name, wanted.digest)
        last: Answer | None = None
        for holder in holders:
            last = await self._answer(wanted.name, holder.judged)
            if last.decision is not Decision.REFUSE:
                return self._sized(wanted.digest, holder)
        raise unreachable_blob() if last is None else denied(last)

    async def referrers(self, wanted: Wanted, path: str, authorization: str) -> Listing:
        """Of an admitted image. Raises Refusal, SourceError."""
        assert wanted.digest is not None
        answer = await self._answer(wanted.name, wanted.digest)
        if answer.decision is Decision.REFUSE:
            raise denied(answer)
        return await self._upstream.listing(wanted.name, path, authorization)

    # --- parts -----------------------------------------------------------------------------------

    async def _fetched(self, wanted: Wanted, authorization: str) -> Fetched:
        """Rule 1."""
        now = self._monotonic()
        who = self._upstream.identity(authorization)
        digest = wanted.digest
        if digest is None:
            pinned = self._tags.get((who, wanted.name, wanted.tag))
            if pinned is not None and now < pinned[0]:
                digest = pinned[1]
        if digest is not None:
            kept = self._kept.get((who, wanted.name, digest))
            if kept is not None and now < kept[0]:
                self._kept.move_to_end((who, wanted.name, digest))
                return kept[1]
        found = await self._upstream.manifest(wanted.name, str(digest or wanted.tag), authorization)
        if wanted.digest is None and digest is None:
            self._tags[who, wanted.name, wanted.tag] = now + self._tag_seconds, found.digest
            while len(self._tags) > 100_000:
                self._tags.popitem(last=False)
        self._keep((who, wanted.name, found.digest), found)
        return found

    def _keep(self, key: tuple[str, str, Digest], found: Fetched) -> None:
        old = self._kept.pop(key, None)
        self._bytes += len(found.data) - (len(old[1].data) if old else 0)
        self._kept[key] = self._monotonic() + MANIFEST_SECONDS, found
        while self._bytes > MOST_MANIFEST_BYTES:
            _, (_, gone) = self._kept.popitem(last=False)
            self._bytes -= len(gone.data)

    async def _answer(self, name: str, digest: Digest) -> Answer:
        reference = f"docker://{self._upstream.host}/{name}@{digest}"
        return await self._decider.ask(Question((reference,), self._context))

    async def _artifact(
        self, wanted: Wanted, found: Fetched, where: str, error: UnsupportedError
    ) -> None:
        """Rule 4. Raises Refusal."""
        try:
            document = parse_json(found.data, where=where, limits=self._limits)
            blobs = list(_blobs(document, where))
        except (CorruptImageError, LimitExceededError) as wrong:
            self._corrupt(wanted.name, found, wrong, where)
            return
        subject = self._subject(wanted, found, document)
        problem = ""
        if any(is_layer_type(blob.media_type) for blob in blobs):
            problem = "parts of it can be run"
        elif subject is None:
            problem = "it belongs to no image"
        if problem:
            answer = self._forbid(f"{error}, and {problem}", error.remedy, where)
        else:
            answer = await self._answer(wanted.name, subject or found.digest)
        if answer.decision is Decision.REFUSE:
            raise denied(answer)
        judged = subject or found.digest
        self._reached(wanted.name, judged, blobs)
        self._reach.attest(wanted.name, [(found.digest, judged)])  # asked for by digest later

    def _subject(
        self, wanted: Wanted, found: Fetched, document: Mapping[str, Any]
    ) -> Digest | None:
        cosign = _COSIGN.fullmatch(wanted.tag)
        return (
            _subject(document)
            or (Digest(f"sha256:{cosign[1]}") if cosign else None)
            or self._reach.subject(wanted.name, found.digest)
        )

    def _reached(self, name: str, judged: Digest, blobs: Iterable[Descriptor]) -> None:
        for blob in blobs:
            self._reach.add(name, blob.digest, Holder(judged, replace(blob, annotations={})))

    def _sized(self, digest: Digest, holder: Holder) -> Blob:
        if holder.blob is not None:
            return Blob(holder.blob, sized=True)
        unknown = Descriptor("application/octet-stream", digest, self._limits.json_bytes)
        return Blob(unknown, sized=False)

    def _forbid(self, reason: str, remedy: str, where: str) -> Answer:
        answer = self._decider.forbid(self._context, reason, remedy, f"docker://{where}")
        self._noted(where, answer)
        return answer

    def _noted(self, what: str, answer: Answer) -> None:
        self._decider.note(self._context, answer)
        if answer.notable:
            self._tell(self._context, what, answer)

    def _corrupt(self, name: str, found: Fetched, error: Exception, where: str) -> None:
        """Nobody can tell what it would be to whoever reads it. Raises Refusal, unless the mode
        lets it pass: then whatever it may name is reached."""
        remedy = getattr(error, "remedy", "")
        answer = self._forbid(f"it is corrupt: {error}", remedy, where)
        if answer.decision is Decision.REFUSE:
            raise denied(answer)
        with suppress(CorruptImageError, ValueError, RecursionError, AttributeError):
            self._reached(name, found.digest, list(_blobs(json.loads(found.data), where)))


def _attested(index: ImageIndex) -> Iterable[tuple[Digest, Digest]]:
    for entry in index.manifests:
        said = entry.descriptor.annotations.get(_ATTESTS)
        if entry.is_attestation and said is not None:
            try:
                yield entry.descriptor.digest, Digest.parse(said)
            except CorruptImageError:
                continue  # it attests nothing


def _blobs(document: Mapping[str, Any], where: str) -> Iterable[Descriptor]:
    """Of any manifest. Raises ManifestError."""
    layers = document.get("layers", document.get("blobs", []))
    items = [document.get("config"), *(layers if isinstance(layers, list) else [])]
    for item in items:
        if not isinstance(item, dict):
            continue
        size, media_type = item.get("size"), item.get("mediaType")
        if isinstance(size, bool) or not isinstance(size, int) or not 0 <= size < 1 << 62:
            raise CorruptImageError("a blob's size is no number", where=where)
        yield Descriptor(
            media_type if isinstance(media_type, str) else "", Digest.parse(item.get("digest")),
            size,
        )  # fmt: skip


def _subject(document: Mapping[str, Any]) -> Digest | None:
    subject = document.get("subject")
    if not isinstance(subject, dict):
        return None
    try:
        return Digest.parse(subject.get("digest"))
    except CorruptImageError:
        return None


def identity_of(authorization: str) -> str:
    """What tells clients apart, without their secret."""
    return hashlib.sha256(authorization.encode()).hexdigest() if authorization else ""
