"""What admitted manifests reach, by repository, in memory and bounded. Pure.

A blob is served for a manifest that names it. Whether that manifest is still admitted is asked
again for every blob: here it is only remembered which one it was.
"""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

from layerproof.model.digest import Digest
from layerproof.model.image import Descriptor

MOST_BLOBS = 1_000_000
MOST_HOLDERS = 50  # manifests by which one blob of a repository is reached
MOST_SUBJECTS = 100_000


@dataclass(frozen=True, slots=True)
class Holder:
    """A manifest by which a blob is reached."""

    judged: Digest  # the image whose verdict counts: itself, or for an artifact its subject
    blob: Descriptor | None  # as the manifest says; None: only its digest is known


class Reach:
    """For one gateway."""

    def __init__(self, most: int = MOST_BLOBS) -> None:
        self._most = most
        self._holders: OrderedDict[tuple[str, Digest], dict[Digest, Holder]] = OrderedDict()
        self._subjects: OrderedDict[tuple[str, Digest], Digest] = OrderedDict()

    def add(self, name: str, blob: Digest, holder: Holder) -> None:
        """The blob is reached by it."""
        key = name, blob
        holders = self._holders.setdefault(key, {})
        holders.pop(holder.judged, None)
        holders[holder.judged] = holder
        if len(holders) > MOST_HOLDERS:
            del holders[next(iter(holders))]
        self._holders.move_to_end(key)
        while len(self._holders) > self._most:
            self._holders.popitem(last=False)

    def holders(self, name: str, blob: Digest) -> list[Holder]:
        """By which it is reached, the last one first."""
        return list(reversed(self._holders.get((name, blob), {}).values()))

    def attest(self, name: str, pairs: Iterable[tuple[Digest, Digest]]) -> None:
        """An index says of these manifests which image they attest."""
        for attestation, subject in pairs:
            self._subjects[name, attestation] = subject
            while len(self._subjects) > MOST_SUBJECTS:
                self._subjects.popitem(last=False)

    def subject(self, name: str, attestation: Digest) -> Digest | None:
        """The image that it attests."""
        return self._subjects.get((name, attestation))
