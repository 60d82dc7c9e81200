"""Images that the index can answer for by itself: digests name bytes, which do not change."""

import re
from dataclasses import replace

from layerproof.engine.ports import ImageRecord, Index
from layerproof.model.digest import Digest
from layerproof.model.image import Image, Platform
from layerproof.model.reference import Reference, parse_reference

_DIGEST = re.compile(r"sha256:[a-f0-9]{64}")


def find_image(
    index: Index, text: str, platform: Platform | None, *, offline: bool, analysers: str
) -> Image | None:
    """The indexed image that `text` names, None when only its source can tell.

    A bare digest is looked up among manifests and configs. A reference with a manifest digest is
    looked up by that digest alone; any other reference only with `offline`: a tag may have moved.
    Unless `offline`, all of its layers must have been read by these analysers.
    """
    record, reference = _record(index, text, offline=offline)
    if record is None or (platform is not None and record.image.platform != platform):
        return None
    chains = {layer.chain_id for layer in record.image.layers}
    if not offline and index.known_chains(chains, analysers) != chains:
        return None
    return replace(record.image, reference=reference)


def _record(index: Index, text: str, *, offline: bool) -> tuple[ImageRecord | None, str]:
    if _DIGEST.fullmatch(text):
        digest = Digest(text)
        return index.image_by_manifest(digest) or index.image_by_config(digest), text
    reference = _registry_reference(text)
    if reference is not None and reference.digest is not None:
        record = index.image_by_manifest(reference.digest)
        if record is not None and record.image.manifest_digest == reference.digest:
            return record, str(reference)
    if offline:
        name = str(reference or parse_reference(text))
        return next(iter(index.images_by_name(name)), None), name
    return None, text


def _registry_reference(text: str) -> Reference | None:
    """A reference that is a registry's beyond doubt, without asking the file system."""
    if not text.startswith("docker://"):
        return None
    return parse_reference(text)
