"""SPDX 2.3, JSON (spdx.github.io/spdx-spec/v2.3): an image, its packages, and which layer brought
each, as annotations."""

import json
from datetime import datetime
from hashlib import sha256

from layerproof import __version__
from layerproof.engine.packages import Inventory
from layerproof.model.installed import Instance
from layerproof.report.documents import Document

_IMAGE = "SPDXRef-Image"


def spdx_document(listing: Inventory, now: datetime) -> Document:
    """The document. Its namespace follows from the image alone."""
    image = listing.image
    digest = image.manifest_digest or image.config_digest
    stamp = now.replace(microsecond=0).isoformat().replace("+00:00", "Z")
    tool = f"Tool: layerproof-{__version__}"
    packages = [_package(instance, listing, stamp, tool) for instance in listing.packages]
    described: Document = {
        "SPDXID": _IMAGE,
        "name": image.reference,
        "versionInfo": digest,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": False,
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": "NOASSERTION",
        "copyrightText": "NOASSERTION",
        "primaryPackagePurpose": "CONTAINER",
        "checksums": [{"algorithm": "SHA256", "checksumValue": digest.partition(":")[2]}]
        if digest.startswith("sha256:")
        else [],
        "annotations": [
            _annotation(
                stamp,
                tool,
                {
                    "layers": [
                        {"position": la.position, "chainId": la.chain_id, "diffId": la.diff_id}
                        for la in image.layers
                    ]
                },
            )
        ],
    }
    return {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": image.reference,
        "documentNamespace": f"https://layerproof.invalid/spdx/{digest.replace(':', '-')}",
        "creationInfo": {"created": stamp, "creators": [tool]},
        "packages": [described, *packages],
        "relationships": [
            {
                "spdxElementId": "SPDXRef-DOCUMENT",
                "relatedSpdxElement": _IMAGE,
                "relationshipType": "DESCRIBES",
            },
            *(
                {
                    "spdxElementId": _IMAGE,
                    "relatedSpdxElement": package["SPDXID"],
                    "relationshipType": "CONTAINS",
                }
                for package in packages
            ),
        ],
    }


def _package(instance: Instance, listing: Inventory, stamp: str, tool: str) -> Document:
    package, position = instance.package, instance.introduced
    path = "/" + package.path.decode("utf-8", "backslashreplace")
    layer = listing.image.layers[position]
    identity = sha256(f"{package.purl}\0{path}".encode()).hexdigest()[:24]
    facts: dict[str, object] = {
        "layer": position,
        "chainId": layer.chain_id,
        "diffId": layer.diff_id,
        "path": path,
    }
    if package.owner:
        facts["owner"] = package.owner
    if package.locked:
        facts["locked"] = True
    found: Document = {
        "SPDXID": f"SPDXRef-Package-{identity}",
        "name": package.name,
        "versionInfo": package.version,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": False,
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": "NOASSERTION",
        "copyrightText": "NOASSERTION",
        "externalRefs": [
            {
                "referenceCategory": "PACKAGE-MANAGER",
                "referenceType": "purl",
                "referenceLocator": package.purl,
            }
        ],
        "annotations": [_annotation(stamp, tool, facts)],
    }
    if package.source:
        found["sourceInfo"] = f"built from the source package {package.source}"
    if package.licence:  # as its metadata writes it, which need not be an SPDX expression
        found["licenseComments"] = f"declared: {package.licence}"
    return found


def _annotation(stamp: str, tool: str, facts: dict[str, object]) -> Document:
    return {
        "annotationType": "OTHER",
        "annotator": tool,
        "annotationDate": stamp,
        "comment": json.dumps(facts),
    }
