"""From what the engine tells of an image to the question about it.

1. The engine's ID is the digest of the config, or of the manifest or index in its containerd store.
   `RootFS.Layers` are the DiffIDs, so the ChainIDs are known without reading a byte. The image that
   is judged must have this ID *and* this top layer.
2. `RepoDigests` say from which repository the engine pulled which manifest. The one that fits the
   name that was asked for is the reference by which the image is judged, so that the policy knows
   its registry; of an image that was built or loaded here, only the ID is left.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from layerproof.errors import LayerproofError
from layerproof.model.digest import ChainId, DiffId, Digest, chain_ids
from layerproof.model.facts import Context
from layerproof.model.gate import Question
from layerproof.model.image import Platform
from layerproof.model.reference import Reference, parse_name


def question_of(
    told: Mapping[str, Any], name: str, context: Context, platform: Platform | None = None
) -> Question:
    """The question about an image that the engine told of, by the name that was asked for. Raises
    ManifestError for digests that are none."""
    identity = Digest.parse(told.get("Id"), where=name)
    return Question(
        names=(*_references(told.get("RepoDigests"), name), str(identity)),
        context=context,
        platform=platform,
        identity=identity,
        top=top_of(told, name),
    )


def top_of(told: Mapping[str, Any], where: str) -> ChainId | None:
    """The ChainID of all layers; None where the engine tells of none."""
    root = told.get("RootFS")
    layers = root.get("Layers") if isinstance(root, dict) else None
    if not isinstance(layers, list) or not layers:
        return None
    return list(chain_ids(DiffId.parse(layer, where=where) for layer in layers))[-1]


def _references(repo_digests: object, name: str) -> Sequence[str]:
    """Those that fit the name first; the others too, when it names no repository."""
    texts = (
        [t for t in repo_digests or () if isinstance(t, str)]
        if isinstance(repo_digests, list)
        else []
    )
    known = [found for text in sorted(texts)[:50] if (found := _parsed(text)) is not None]
    wanted = _parsed(name)
    if wanted is not None:
        fitting = [r for r in known if (r.host, r.repository) == (wanted.host, wanted.repository)]
        if fitting:
            return [str(reference) for reference in fitting]
    return [str(reference) for reference in known]


def _parsed(text: str) -> Reference | None:
    try:
        return parse_name(text)
    except LayerproofError:
        return None
