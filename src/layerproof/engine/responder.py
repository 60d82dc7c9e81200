"""Withdrawn layers leave the registries: their tags are moved aside or deleted, and can come back.

A withdrawal is a record of the index: from then on every gate refuses the layer, and monitors find
what runs with it. What the registries still offer under a tag is the policy's choice
(`withdrawn.tags`): `keep`, `move` or `delete`.

1. Every name of every image of the index that holds the layer at its place is looked at. Only a tag
   that names that very image *now* is touched: another image under the same tag is none of ours.
2. Before anything is changed, what the tag named is written into the index, so that a release can
   bring it back; whoever ends in the middle loses nothing.
3. `move` gives the image a tag that says what it is (`withdrawn-TAG`), then takes the old one away.
   Registries that delete no tags delete the manifest; after that the new tag is set again.
4. A release brings tags back, unless they name something else by now.
5. One registry that fails does not keep the others; what failed is told.
"""

import base64
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Protocol

from layerproof.engine.ports import ImageRecord, Index
from layerproof.errors import LayerproofError, SourceError, UnsupportedError
from layerproof.model.digest import ChainId, Digest
from layerproof.model.gate import TagAction
from layerproof.model.reference import DOCKER, Reference, parse_reference

ASIDE = "withdrawn-"
_MOST_TAG = 128  # distribution-spec, "Pulling manifests"


@dataclass(frozen=True, slots=True)
class TaggedManifest:
    """What a tag names; `digest` was computed from `data`."""

    data: bytes
    media_type: str
    digest: Digest


class Tags(Protocol):
    """The tags of one registry. Raises SourceError."""

    def manifest(self, repository: str, tag: str) -> TaggedManifest | None:
        """What the tag names; None if it is gone."""

    def put(self, repository: str, tag: str, manifest: TaggedManifest) -> None:
        """Let the tag name the manifest."""

    def delete(self, repository: str, reference: str | Digest) -> None:
        """Delete a tag, or a manifest with its tags. Raises UnsupportedError."""


OpenTags = Callable[[str], AbstractContextManager[Tags]]


class Outcome(StrEnum):
    """What became of a tag."""

    MOVED = "moved"
    DELETED = "deleted"
    OTHER = "other"  # it names another image, or is gone
    RESTORED = "restored"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class TagDone:
    """One tag, and what was done."""

    reference: str
    outcome: Outcome
    to: str = ""  # the tag that it was moved to
    reason: str = ""  # why it failed


def withdraw_tags(
    index: Index, chain_ids: Iterable[ChainId], action: TagAction, open_tags: OpenTags
) -> list[TagDone]:
    """Take the tags of images with these layers away, as the policy says."""
    if action is TagAction.KEEP:
        return []
    named = sorted(_named(index, chain_ids).items())
    return [
        _guarded(name, partial(_withdrawn, index, name, digests, action, open_tags))
        for name, digests in named
    ]


def restore_tags(index: Index, chain_ids: Iterable[ChainId], open_tags: OpenTags) -> list[TagDone]:
    """Bring tags back that were taken away from images with these layers."""
    kept = {name: index.cached(_key(name)) for name in sorted(_named(index, chain_ids))}
    return [
        _guarded(name, partial(_restored, index, name, found, open_tags))
        for name, found in kept.items()
        if found
    ]


def _withdrawn(
    index: Index, name: str, digests: Sequence[Digest], action: TagAction, open_tags: OpenTags
) -> TagDone:
    reference = parse_reference(name)
    with open_tags(reference.host) as tags:
        manifest = tags.manifest(reference.repository, reference.tag)
        if manifest is None or manifest.digest not in digests:
            return TagDone(name, Outcome.OTHER)
        aside = f"{ASIDE}{reference.tag}"[:_MOST_TAG] if action is TagAction.MOVE else ""
        index.put_cached(_key(name), _kept(manifest, aside))
        if aside:
            tags.put(reference.repository, aside, manifest)
        _delete(tags, reference, manifest, aside)
    return TagDone(name, Outcome.MOVED if aside else Outcome.DELETED, aside)


def _delete(tags: Tags, reference: Reference, manifest: TaggedManifest, aside: str) -> None:
    try:
        tags.delete(reference.repository, reference.tag)
    except UnsupportedError:
        tags.delete(reference.repository, manifest.digest)
        if aside:  # it went with the manifest
            tags.put(reference.repository, aside, manifest)


def _restored(index: Index, name: str, kept: bytes, open_tags: OpenTags) -> TagDone:
    reference = parse_reference(name)
    document = json.loads(kept)
    manifest = TaggedManifest(
        base64.b64decode(document["manifest"]), document["mediaType"], Digest(document["digest"])
    )
    with open_tags(reference.host) as tags:
        now = tags.manifest(reference.repository, reference.tag)
        if now is not None and now.digest != manifest.digest:
            return TagDone(name, Outcome.OTHER)
        tags.put(reference.repository, reference.tag, manifest)
        if document["aside"]:
            _tidied(tags, reference, document["aside"])
    index.put_cached(_key(name), b"")
    return TagDone(name, Outcome.RESTORED)


def _tidied(tags: Tags, reference: Reference, aside: str) -> None:
    """The tag of the meantime goes, where the registry can delete a tag alone."""
    try:
        tags.delete(reference.repository, aside)
    except UnsupportedError:
        return


def _guarded(name: str, work: Callable[[], TagDone]) -> TagDone:
    try:
        return work()
    except SourceError as error:
        return TagDone(name, Outcome.FAILED, reason=str(error))


def _named(index: Index, chain_ids: Iterable[ChainId]) -> dict[str, list[Digest]]:
    """Tags of registries, and the manifests that they stood for."""
    found: dict[str, list[Digest]] = {}
    for chain_id in dict.fromkeys(chain_ids):
        for record in index.images_with_chain(chain_id):
            for reference in _tagged(record):
                digests = found.setdefault(str(reference), [])
                image = record.image
                digests += [d for d in (image.manifest_digest, image.index_digest) if d is not None]
    return found


def _tagged(record: ImageRecord) -> Iterator[Reference]:
    for text in record.names:
        try:
            reference = parse_reference(text)
        except LayerproofError:
            continue
        if reference.transport == DOCKER and reference.tag and reference.digest is None:
            yield reference


def _key(reference: str) -> str:
    return f"withdrawn-tag {reference}"


def _kept(manifest: TaggedManifest, aside: str) -> bytes:
    return json.dumps(
        {
            "manifest": base64.b64encode(manifest.data).decode(),
            "mediaType": manifest.media_type,
            "digest": manifest.digest,
            "aside": aside,
        }
    ).encode()
