"""Mounts of a layer: a registry that holds a blob already links it into another repository.

A mount names a blob, and a blob has no place in an image. Which layers it holds follows from the
images that the index knows: their manifests name the blob of each layer.
"""

from layerproof.engine.ports import Index
from layerproof.model.activity import Activity
from layerproof.model.digest import ChainId

MOST_IMAGES = 500  # that are looked at for one layer, the last one indexed first


def mounts_of_layer(index: Index, chain_id: ChainId) -> tuple[Activity, ...]:
    """Who mounted the blobs that hold the layer, in images that hold it at its place."""
    blobs = {
        layer.blob.digest
        for record in index.images_page(MOST_IMAGES, chain_id=chain_id).items
        for layer in record.image.layers
        if layer.chain_id == chain_id and layer.blob is not None
    }
    found = index.mounts_of_blobs(sorted(blobs))
    return tuple(item for digest in sorted(found) for item in found[digest])
