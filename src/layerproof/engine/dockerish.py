"""What a Docker Engine tells of images and containers, read the same by gate and monitor.

1. The engine's ID is the digest of the config, or of the manifest or index in its containerd store.
   `RootFS.Layers` are the DiffIDs, so the ChainIDs are known without reading a byte. The image that
   is judged must have this ID *and* this top layer.
2. `RepoDigests` say from which repository the engine pulled which manifest. The one that fits the
   name that was asked for is the reference by which the image is judged, so that the policy knows
   its registry; of an image that was built or loaded here, only the ID is left.
3. Labels of a container that its image has too are the image author's word, not the workload's.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from layerproof.errors import LayerproofError
from layerproof.model.digest import ChainId, DiffId, Digest, chain_ids
from layerproof.model.facts import Context
from layerproof.model.gate import Question
from layerproof.model.image import Platform
from layerproof.model.reference import Reference, parse_name

_MOST_DIGESTS = 50


def question_of(
    told: Mapping[str, Any], name: str, context: Context, platform: Platform | None = None
) -> Question:
    """The question about an image that the engine told of, by the name that was asked for. Raises
    ManifestError for digests that are none."""
    identity = identity_of(told, name)
    return Question(
        names=(*references_of(told.get("RepoDigests"), name), str(identity)),
        context=context,
        platform=platform,
        identity=identity,
        top=top_of(told, name),
    )


def identity_of(told: Mapping[str, Any], where: str) -> Digest:
    """The engine's ID. Raises ManifestError."""
    return Digest.parse(told.get("Id"), where=where)


def top_of(told: Mapping[str, Any], where: str) -> ChainId | None:
    """The ChainID of all layers; None where the engine tells of none. Raises ManifestError."""
    root = told.get("RootFS")
    layers = root.get("Layers") if isinstance(root, dict) else None
    if not isinstance(layers, list) or not layers:
        return None
    return _top(tuple(DiffId.parse(layer, where=where) for layer in layers))


@lru_cache(1024)
def _top(diff_ids: tuple[DiffId, ...]) -> ChainId:
    return list(chain_ids(diff_ids))[-1]


def references_of(repo_digests: object, name: str) -> Sequence[str]:
    """Those that fit the name; all of them, when none does."""
    texts = repo_digests if isinstance(repo_digests, list) else []
    parsed = (_parsed(text) for text in sorted(t for t in texts if isinstance(t, str)))
    known = [found for found in parsed if found is not None][:_MOST_DIGESTS]
    wanted = _parsed(name)
    if wanted is not None:
        place = (wanted.host, wanted.repository)
        known = [found for found in known if (found.host, found.repository) == place] or known
    return [str(found) for found in known]


def workload_labels(container: Mapping[str, Any], image: object) -> Mapping[str, str] | None:
    """Labels that whoever made the container gave it. Both are a `Config` as the engine tells."""
    given = container.get("Labels")
    if not isinstance(given, dict):
        return None
    own = image.get("Labels") if isinstance(image, dict) else None
    known = own if isinstance(own, dict) else {}
    return {
        key: value
        for key, value in given.items()
        if isinstance(value, str) and known.get(key) != value
    }


def _parsed(text: str) -> Reference | None:
    try:
        return parse_name(text)
    except LayerproofError:
        return None
