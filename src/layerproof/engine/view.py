"""An image as people look at it: its layers with all that the index knows of each."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from layerproof.engine.ports import ContentsSummary, Index
from layerproof.model.contents import ChainRecord
from layerproof.model.image import Image, Layer
from layerproof.model.trust import TrustRecord


@dataclass(frozen=True, slots=True)
class LayerView:
    """One layer; what is not indexed is None."""

    layer: Layer
    chain: ChainRecord | None
    summary: ContentsSummary | None
    trust: TrustRecord | None  # the active record that makes it a known trusted layer


@dataclass(frozen=True, slots=True)
class ImageView:
    """An image and the names that it goes by, newest first."""

    image: Image
    names: tuple[str, ...]
    layers: tuple[LayerView, ...]


def view_image(index: Index, image: Image, now: datetime) -> ImageView:
    """Raises IndexUnavailableError."""
    chains = index.chains([layer.chain_id for layer in image.layers])
    summaries = index.contents_summaries({layer.diff_id for layer in image.layers})
    trust = index.trust_of([layer.chain_id for layer in image.layers])
    record = index.image_by_config(image.config_digest)
    return ImageView(
        image=image,
        names=record.names if record else (),
        layers=tuple(
            LayerView(layer, chain, summaries.get(layer.diff_id), _trust(layer, trust, now))
            for layer, chain in zip(image.layers, chains, strict=True)
        ),
    )


def _trust(layer: Layer, records: Sequence[TrustRecord], now: datetime) -> TrustRecord | None:
    """The smallest trusted image that holds the layer: it says most about it."""
    active = [r for r in records if layer.chain_id in r.chain_ids and r.active(now)]
    return min(active, key=lambda r: (len(r.chain_ids), r.id), default=None)
