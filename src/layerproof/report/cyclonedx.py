"""CycloneDX 1.6, JSON (cyclonedx.org/docs/1.6/json): an image, its packages, and which layer
brought each, as properties of ours (`layerproof:…`)."""

from datetime import datetime
from uuid import NAMESPACE_URL, uuid5

from layerproof import __version__
from layerproof.engine.packages import Inventory
from layerproof.model.installed import Instance
from layerproof.report.documents import Document


def cyclonedx_document(listing: Inventory, now: datetime) -> Document:
    """The bill of materials. Its serial number follows from the image alone."""
    image = listing.image
    digest = image.manifest_digest or image.config_digest
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid5(NAMESPACE_URL, 'layerproof:' + digest)}",
        "version": 1,
        "metadata": {
            "timestamp": now.replace(microsecond=0).isoformat().replace("+00:00", "Z"),
            "tools": {
                "components": [
                    {"type": "application", "name": "layerproof", "version": __version__}
                ]
            },
            "component": {
                "type": "container",
                "bom-ref": digest,
                "name": image.reference,
                "version": digest,
                "properties": [
                    *_properties("configDigest", image.config_digest),
                    *(
                        item
                        for layer in image.layers
                        for item in (
                            *_properties(f"layer:{layer.position}:chainId", layer.chain_id),
                            *_properties(f"layer:{layer.position}:diffId", layer.diff_id),
                        )
                    ),
                ],
            },
        },
        "components": [
            *_system(listing),
            *(_component(instance, listing) for instance in listing.packages),
        ],
    }


def _system(listing: Inventory) -> list[Document]:
    release = listing.release
    if not release.id:
        return []
    return [
        {
            "type": "operating-system",
            "bom-ref": f"os:{release.id}@{release.version}",
            "name": release.id,
            **({"version": release.version} if release.version else {}),
        }
    ]


def _component(instance: Instance, listing: Inventory) -> Document:
    package, position = instance.package, instance.introduced
    path = "/" + package.path.decode("utf-8", "backslashreplace")
    layer = listing.image.layers[position]
    found: Document = {
        "type": "library",
        # one package may be installed twice: the path tells them apart
        "bom-ref": f"{package.purl}#{path}",
        "name": package.name,
        "version": package.version,
        "purl": package.purl,
        "properties": [
            *_properties("layer", str(position)),
            *_properties("chainId", layer.chain_id),
            *_properties("diffId", layer.diff_id),
            *_properties("path", path),
            *_properties("source", package.source),
            *_properties("sourceVersion", package.source_version),
            *_properties("owner", package.owner),
            *_properties("module", package.module),
            *(_properties("locked", "true") if package.locked else ()),
        ],
    }
    if package.licence:
        found["licenses"] = [{"license": {"name": package.licence}}]
    return found


def _properties(name: str, value: str) -> tuple[Document, ...]:
    return ({"name": f"layerproof:{name}", "value": value},) if value else ()
