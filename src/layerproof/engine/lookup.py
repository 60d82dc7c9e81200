"""Images that the index can answer for by itself: digests name bytes, which do not change."""

import re
from dataclasses import replace

from layerproof.engine.ports import ImageRecord, Index
from layerproof.errors import ImageNotFoundError
from layerproof.model.digest import Digest
from layerproof.model.image import Image, Platform
from layerproof.model.reference import parse_reference
from layerproof.oci.manifest import host_platform, runs_on

_DIGEST = re.compile(r"sha256:[a-f0-9]{64}")


def find_image(
    index: Index, text: str, platform: Platform | None, *, offline: bool, analysers: str
) -> Image | None:
    """The indexed image that `text` names, None when only its source can tell.

    A bare digest is looked up among manifests and configs, and nowhere else: ImageNotFoundError. A
    reference with a manifest digest is looked up by that digest alone; any other reference only
    with `offline`, because a tag may have moved. The digest of an image index and a name stand for
    the image of the platform asked for, by default the host's. Unless `offline`, all layers must
    have been read by these analysers.
    """
    bare = _DIGEST.fullmatch(text) is not None
    reference = text if bare else _registry_text(text)
    record = _by_digest(index, reference, platform)
    if record is None and offline and not bare:
        reference = reference or str(parse_reference(text))
        records = index.images_by_name(reference)
        record = next((r for r in records if _suits(r.image, platform)), None)
    if record is not None and not offline:
        chains = {layer.chain_id for layer in record.image.layers}
        if index.known_chains(chains, analysers) != chains:
            record = None
    if record is not None:
        return replace(record.image, reference=reference)
    if bare:
        raise ImageNotFoundError(
            "the index holds no image with this manifest or config digest",
            where=text,
            remedy="give a reference that says where the image is, or index it first",
        )
    return None


def _by_digest(index: Index, reference: str, platform: Platform | None) -> ImageRecord | None:
    if _DIGEST.fullmatch(reference):
        digest: Digest | None = Digest(reference)
    else:
        digest = parse_reference(reference).digest if reference else None
    if digest is None:
        return None
    record = index.image_by_manifest(digest)
    if record is None:
        chosen = index.images_of_index(digest)
        record = next((found for found in chosen if _suits(found.image, platform)), None)
    if record is None and digest == reference:
        record = index.image_by_config(digest)
    if record is None:
        return None
    exact = digest in (record.image.manifest_digest, record.image.config_digest)
    if exact and platform is None:
        return record  # these bytes and no others, whatever they run on
    return record if _suits(record.image, platform) else None


def _suits(image: Image, platform: Platform | None) -> bool:
    if platform is None and image.platform.architecture == "unknown":
        return True  # a root file system says nothing about platforms
    return runs_on(image.platform, platform or host_platform())


def _registry_text(text: str) -> str:
    """A reference that is a registry's beyond doubt, in full; without asking the file system."""
    return str(parse_reference(text)) if text.startswith("docker://") else ""
