"""Images that the index can answer for by itself: digests name bytes, which do not change."""

import re

from layerproof.engine.ports import ImageRecord, Index
from layerproof.model.digest import Digest
from layerproof.model.image import Image, Platform
from layerproof.model.reference import Reference, parse_reference

_DIGEST = re.compile(r"sha256:[a-f0-9]{64}")


def find_image(
    index: Index, text: str, platform: Platform | None, *, offline: bool = False
) -> Image | None:
    """The indexed image that `text` names, None when only its source can tell.

    A bare digest is looked up among manifests and configs. A reference with a manifest digest is
    looked up by that digest alone; any other reference only with `offline`: a tag may have moved.
    """
    if _DIGEST.fullmatch(text):
        digest = Digest(text)
        record = index.image_by_manifest(digest) or index.image_by_config(digest)
        return _as(record, platform, text)
    reference = _registry_reference(text)
    if reference is not None and reference.digest is not None:
        record = index.image_by_manifest(reference.digest)
        if record is not None and record.image.manifest_digest == reference.digest:
            return _as(record, platform, str(reference))
    if offline:
        records = index.images_by_name(str(reference or parse_reference(text)))
        return _as(records[0] if records else None, platform, str(reference))
    return None


def _registry_reference(text: str) -> Reference | None:
    """A reference that is a registry's beyond doubt, without asking the file system."""
    if not text.startswith("docker://"):
        return None
    return parse_reference(text)


def _as(record: ImageRecord | None, platform: Platform | None, reference: str) -> Image | None:
    if record is None or (platform is not None and record.image.platform != platform):
        return None
    from dataclasses import replace

    return replace(record.image, reference=reference)
