"""Layers at their place: what they change, where they are used, what was done with them."""

from typing import Any

from fastapi import APIRouter

from layerproof.engine.mounts import mounts_of_layer
from layerproof.model.activity import layer_context
from layerproof.oci import changecodec
from layerproof.report.documents import changes_document
from layerproof.report.service_documents import image_summary, layer_document, page_document
from layerproof.server.openapi import one, page
from layerproof.server.paging import After, Limit
from layerproof.server.routes._common import DigestText, The, Viewer, chain_id, missing

router = APIRouter(tags=["layers"])
MOST_CHANGES = 20_000


@router.get("/layers/{digest}", responses=one("Layer"))
def get_layer(service: The, _: Viewer, digest: DigestText) -> dict[str, Any]:
    """One layer, by ChainID, with its context: who pushed and pulled it, whence, where, when."""
    index = service.stores.index
    chain = chain_id(digest)
    record = index.chains([chain])[0]
    if record is None:
        raise missing("layer in the index", digest, "give the ChainID of a layer")
    activity = index.activity_of_layers([chain]).get(chain, ())
    return layer_document(
        record,
        index.contents_summaries([record.diff_id]).get(record.diff_id),
        layer_context(activity, mounts_of_layer(index, chain)),
        index.trust_of([chain]),
        service.clock.now(),
    )


@router.get("/layers/{digest}/images", responses=page("ImageSummary"))
def list_images_of_layer(
    service: The, _: Viewer, digest: DigestText, limit: Limit = 100, after: After = None
) -> dict[str, Any]:
    """Images that hold the layer at its place, the last one indexed first."""
    found = service.stores.index.images_page(limit, after, chain_id=chain_id(digest))
    return page_document([image_summary(record) for record in found.items], found.after)


@router.get("/layers/{digest}/changes", responses=one("LayerChanges"))
def get_changes(service: The, _: Viewer, digest: DigestText) -> dict[str, Any]:
    """What the layer does to the tree below it."""
    record = service.stores.index.chains([chain_id(digest)])[0]
    if record is None:
        raise missing("layer in the index", digest, "give the ChainID of a layer")
    changes = changecodec.decode(record.changes).changes
    return changes_document(digest, record.position, changes[:MOST_CHANGES])
