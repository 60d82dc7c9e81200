"""What an operator's expressions may speak of: plain values, documented on the rule's page."""

from collections.abc import Iterator, Mapping
from datetime import datetime

from layerproof.errors import LayerproofError
from layerproof.model.facts import ImageFacts, LayerFacts
from layerproof.model.package import Package, PackageChangeKind
from layerproof.model.reference import DOCKER, parse_reference

Value = dict[str, object]
# The variables by scope
NAMES: Mapping[str, tuple[str, ...]] = {
    "image": ("image", "base", "layers", "context"),
    "layer": ("image", "base", "layers", "context", "layer"),
}


def image_names(facts: ImageFacts) -> Value:
    """The variables of the scope `image`."""
    layers = [layer_value(layer) for layer in facts.above_base]
    return {
        "image": _image(facts),
        "base": {
            "trusted": facts.base is not None,
            "image": facts.base.trusted_image if facts.base else "",
            "layers": facts.base.layers if facts.base else 0,
        },
        "layers": layers,
        "context": {
            "gate": facts.context.gate,
            "namespace": facts.context.namespace or "",
            "host": facts.context.host or "",
            "labels": dict(facts.context.labels or {}),
        },
    }


def _image(facts: ImageFacts) -> Value:
    image = facts.image
    run = image.config.get("config")
    run = run if isinstance(run, dict) else {}
    registry = repository = tag = ""
    try:
        reference = parse_reference(image.reference)
        if reference.transport == DOCKER:
            registry, _, repository = reference.name.partition("/")
            tag = reference.tag
    except LayerproofError:
        pass  # a bare digest, or a path
    labels = run.get("Labels")
    return {
        "reference": image.reference,
        "registry": registry,
        "repository": repository,
        "tag": tag,
        "digest": image.manifest_digest or "",
        "configDigest": image.config_digest,
        "os": image.platform.os,
        "architecture": image.platform.architecture,
        "layers": len(image.layers),
        "user": run["User"] if isinstance(run.get("User"), str) else "",
        "env": dict(_pairs(run.get("Env"))),
        "labels": {
            str(k): v for k, v in (labels if isinstance(labels, dict) else {}).items()
            if isinstance(v, str)
        },
        "entrypoint": _texts(run.get("Entrypoint")),
        "cmd": _texts(run.get("Cmd")),
        "ports": _keys(run.get("ExposedPorts")),
        "volumes": _keys(run.get("Volumes")),
        "ageDays": _age(image.config.get("created"), facts.now),
    }  # fmt: skip


def layer_value(layer: LayerFacts) -> Value:
    """One layer, as `layer` and as an item of `layers`."""
    packages: dict[str, list[Value]] = {"added": [], "changed": [], "removed": []}
    for change in layer.package_changes:
        value = _package(change.package)
        if change.kind is PackageChangeKind.CHANGED and change.before is not None:
            value["before"] = change.before.version
        packages[str(change.kind)].append(value)
    counts = layer.changes.counts if layer.changes is not None else {}
    entries = layer.facts.get("entries")
    entries = entries if isinstance(entries, dict) else {}
    return {
        "indexed": layer.changes is not None,
        "position": layer.layer.position,
        "chainId": layer.layer.chain_id,
        "diffId": layer.layer.diff_id,
        "createdBy": layer.layer.created_by or "",
        "size": layer.layer.blob.size if layer.layer.blob else 0,
        "bytes": entries.get("bytes", 0),
        "executables": entries.get("executables", 0),
        "changes": {str(kind): count for kind, count in counts.items()},
        "packages": packages,
        "pushers": [
            {"registry": pusher.registry, "account": pusher.account} for pusher in layer.pushers
        ],
    }


def _package(package: Package) -> Value:
    return {
        "type": str(package.type),
        "name": package.name,
        "version": package.version,
        "source": package.source or package.name,
        "licence": package.licence,
        "path": package.path.decode("utf-8", "backslashreplace"),
    }


def _age(created: object, now: datetime) -> int:
    """Whole days since the image says that it was made; -1 if it does not say."""
    try:
        made = datetime.fromisoformat(created) if isinstance(created, str) else None
    except ValueError:
        return -1
    if made is None or made.utcoffset() is None:
        return -1
    return max((now - made).days, 0)


def _pairs(value: object) -> Iterator[tuple[str, str]]:
    for entry in _texts(value):
        name, equals, text = entry.partition("=")
        if equals:
            yield name, text


def _texts(value: object) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _keys(value: object) -> list[str]:
    return sorted(str(key) for key in value) if isinstance(value, dict) else []
