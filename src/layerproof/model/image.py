"""An image: one platform manifest, its config and its ordered layers."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from layerproof.model.digest import ChainId, DiffId, Digest


@dataclass(frozen=True, slots=True, order=True)
class Platform:
    """`os/architecture[/variant]`, in Go's names as OCI uses them (linux/amd64, linux/arm/v7)."""

    os: str
    architecture: str
    variant: str = ""

    def __str__(self) -> str:
        base = f"{self.os}/{self.architecture}"
        return f"{base}/{self.variant}" if self.variant else base


@dataclass(frozen=True, slots=True)
class Descriptor:
    """OCI descriptor: what a blob is, its digest, its size in bytes."""

    media_type: str
    digest: Digest
    size: int
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class History:
    """One `history` entry of an image config; all text is a claim of whoever built the image."""

    created: str = ""
    created_by: str = ""
    comment: str = ""
    author: str = ""
    empty_layer: bool = False


@dataclass(frozen=True, slots=True)
class Layer:
    """A position in an image."""

    position: int  # 0 is the lowest layer
    diff_id: DiffId
    chain_id: ChainId
    blob: Descriptor | None  # None where the source has no manifest (docker-archive, daemon)
    created_by: str | None  # None when the history does not match the layers


@dataclass(frozen=True, slots=True)
class Image:
    """What a source resolved a reference to; every digest in it was checked against its bytes."""

    reference: str  # as the user wrote it, in full form
    config_digest: Digest
    platform: Platform
    layers: tuple[Layer, ...]
    config: Mapping[str, object]  # the config document, parsed strictly
    manifest_digest: Digest | None = None
    index_digest: Digest | None = None  # the image index that it was chosen from
    manifest: Mapping[str, object] | None = None
    history: tuple[History, ...] = ()
    notes: tuple[str, ...] = ()  # what was odd but not wrong, in words

    @property
    def top(self) -> ChainId | None:
        """The ChainID of the whole image; None for an image without layers."""
        return self.layers[-1].chain_id if self.layers else None

    @property
    def labels(self) -> Mapping[str, str]:
        """The config's labels (only those that are strings)."""
        return _strings(_table(self.config.get("config")).get("Labels"))

    @property
    def annotations(self) -> Mapping[str, str]:
        """The manifest's annotations (only those that are strings)."""
        return _strings((self.manifest or {}).get("annotations"))

    @property
    def environment(self) -> tuple[str, ...]:
        """`Env` of the config, as `NAME=value`."""
        env = _table(self.config.get("config")).get("Env")
        return tuple(v for v in env if isinstance(v, str)) if isinstance(env, list) else ()


def _table(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _strings(value: object) -> Mapping[str, str]:
    return {k: v for k, v in _table(value).items() if isinstance(v, str)}
