"""Everything that the index knows about one image, gathered for the rules.

Reads the index, decides nothing. What only serves to explain (`near`) is looked up only where no
active trust touches the image.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from layerproof.engine.ports import Advisories, ImageRecord, Index
from layerproof.engine.releases import releases
from layerproof.errors import ManifestError, ReferenceSyntaxError
from layerproof.model.change import ChangeSet
from layerproof.model.contents import ChainRecord
from layerproof.model.digest import ChainId, DiffId, Digest
from layerproof.model.facts import (
    COMMAND_LINE,
    Context,
    ImageFacts,
    KnownImage,
    LayerFacts,
    NamedBuild,
)
from layerproof.model.image import Image, Layer
from layerproof.model.ownership import PackageScript
from layerproof.model.trust import TrustRecord
from layerproof.oci import changecodec
from layerproof.rules.claims import Claim, claims, starts_with_history

_MOST_BUILDS = 50  # builds of a name that are compared
_MOST_NAMES = 20  # names of images below that are looked up


def gather(
    index: Index,
    image: Image,
    now: datetime,
    *,
    whole: bool = False,
    context: Context = COMMAND_LINE,
    advisories: Advisories | None = None,
    learned: bool = False,
) -> ImageFacts:
    """The facts about `image`. The changes of layers that are in its base whatever the policy, and
    what advisories say about these, are left out, because nobody judges them, unless `whole`.
    `learned`: ask the model, too. Raises IndexUnavailableError, AdvisoryError."""
    chains = index.chains([layer.chain_id for layer in image.layers])
    layer_facts = index.layer_facts({layer.diff_id for layer in image.layers})
    scripts = _brought(image, index.scripts({layer.diff_id for layer in image.layers}))
    trust = tuple(index.trust_of([layer.chain_id for layer in image.layers]))
    active = [record for record in trust if record.active(now)]
    base = 0 if whole else _sure_base(image, active)
    pushers = index.pushers_of_layers([layer.chain_id for layer in image.layers[base:]])
    summaries = index.contents_summaries({layer.diff_id for layer in image.layers[base:]})
    found = releases(layer_facts.get(layer.diff_id) for layer in image.layers)
    layers = tuple(
        replace(
            _layer(layer, chain, layer_facts, decode=layer.position >= base),
            pushers=pushers.get(layer.chain_id, ()),
            scripts=scripts[layer.position],
            release=found[layer.position],
            skipped=summaries[layer.diff_id].skipped if layer.diff_id in summaries else (),
        )
        for layer, chain in zip(image.layers, chains, strict=True)
    )
    advice = None
    if advisories is not None:
        changes = [layer.package_changes for layer in layers]
        from layerproof.engine.advice import gather_advice  # here: it loads the matching

        advice = gather_advice(advisories, image, found, changes, first=base)
    tops = _tops(index, image)
    said = None
    if learned:
        from layerproof.engine.learned import learned_facts  # here: it loads the scorer

        said = learned_facts(index, image, now)
    return ImageFacts(
        image=image,
        layers=layers,
        now=now,
        trust=trust,
        claimed=_claimed(index, image),
        near=() if active else _near(index, image, trust),
        below=_below(index, image, active),
        tops=tops,
        named=_named(index, image, tops),
        builds=_builds(index, trust),
        context=context,
        advice=advice,
        learned=said,
        known_scripts=_known_scripts(index, layers[base:], now),
        withdrawn=tuple(
            index.withdrawals_of(
                [layer.chain_id for layer in image.layers],
                {layer.diff_id for layer in image.layers},
            )
        ),
    )


def layers_of(index: Index, image: Image) -> tuple[LayerFacts, ...]:
    """What the layers are and do, without who pushed them and without anything about trust."""
    chains = index.chains([layer.chain_id for layer in image.layers])
    diff_ids = {layer.diff_id for layer in image.layers}
    facts, summaries = index.layer_facts(diff_ids), index.contents_summaries(diff_ids)
    scripts = _brought(image, index.scripts(diff_ids))
    return tuple(
        replace(
            _layer(layer, chain, facts, decode=True),
            scripts=scripts[layer.position],
            skipped=summaries[layer.diff_id].skipped if layer.diff_id in summaries else (),
        )
        for layer, chain in zip(image.layers, chains, strict=True)
    )


def _sure_base(image: Image, active: Collection[TrustRecord]) -> int:
    """How many layers are below the highest top of a trusted image. A layer that a trusted image
    merely contains may still be judged here: it is above the base when that image is not below."""
    tops = {record.top for record in active if record.chain_ids}
    return max((la.position + 1 for la in image.layers if la.chain_id in tops), default=0)


def _below(
    index: Index, image: Image, active: Collection[TrustRecord]
) -> dict[ChainId, tuple[KnownImage, ...]]:
    """The trusted images that the image is built on, as far as they are indexed."""
    chains = {layer.chain_id for layer in image.layers}
    found: dict[ChainId, tuple[KnownImage, ...]] = {}
    for record in active:
        if record.chain_ids and record.top in chains:
            known = index.image_by_config(record.config_digest)
            if known is not None:
                others = found.get(record.top, ())
                found[record.top] = (*others, KnownImage(known.image, known.names))
    return found


def _tops(index: Index, image: Image) -> dict[ChainId, tuple[KnownImage, ...]]:
    """The images that end at one of the image's layers, and who pushed these."""
    records = index.images_with_tops([layer.chain_id for layer in image.layers])
    manifests = {r.image.manifest_digest for r in records} - {None}
    pushers = index.pushers_of_images({digest for digest in manifests if digest is not None})
    found: dict[ChainId, tuple[KnownImage, ...]] = {}
    for record in sorted(records, key=lambda r: r.image.config_digest):
        digest = record.image.manifest_digest
        known = KnownImage(record.image, record.names, pushers.get(digest, ()) if digest else ())
        top = record.image.top
        if top is not None:
            found[top] = (*found.get(top, ()), known)
    return found


def _named(
    index: Index, image: Image, tops: Mapping[ChainId, tuple[KnownImage, ...]]
) -> tuple[NamedBuild, ...]:
    """What the names of the images below stand for, and who pushed that."""
    below = (known for top, images in tops.items() if top != image.top for known in images)
    names = list(dict.fromkeys(name for known in below for name in known.names))[:_MOST_NAMES]
    builds = index.builds_named([name for name in names if "@" not in name], _MOST_BUILDS)
    pushers = index.pushers_of_images({build.manifest_digest for build in builds})
    return tuple(replace(b, pushers=pushers.get(b.manifest_digest, ())) for b in builds)


def _builds(index: Index, trust: Collection[TrustRecord]) -> tuple[TrustRecord, ...]:
    names = {record.reference for record in trust}
    return tuple(r for r in index.trust_records() if r.reference in names) if names else ()


def _layer(
    layer: Layer,
    chain: ChainRecord | None,
    facts: Mapping[DiffId, Mapping[str, object]],
    *,
    decode: bool,
) -> LayerFacts:
    if chain is None or layer.diff_id not in facts:
        return LayerFacts(layer, changes=None)
    changes = changecodec.decode(chain.changes) if decode else ChangeSet(counts=chain.counts)
    return LayerFacts(layer, changes, chain.package_changes, facts[layer.diff_id], chain.integrity)


def _brought(
    image: Image, scripts: Mapping[DiffId, tuple[PackageScript, ...]]
) -> list[tuple[PackageScript, ...]]:
    """Per layer, the scripts whose text no layer below has."""
    below: set[bytes] = set()
    found = []
    for layer in image.layers:
        own = scripts.get(layer.diff_id, ())
        found.append(tuple(script for script in own if script.sha256 not in below))
        below.update(script.sha256 for script in own)
    return found


def _known_scripts(index: Index, layers: Sequence[LayerFacts], now: datetime) -> dict[bytes, int]:
    """Those of these layers' scripts that layers of images that are trusted now have, too."""
    digests = {script.sha256 for layer in layers for script in layer.scripts}
    if not digests:
        return {}
    holders = index.trusted_scripts(digests)
    trust = index.trust_of({chain_id for chains in holders.values() for chain_id in chains})
    trusted = {chain for record in trust if record.active(now) for chain in record.chain_ids}
    counts = {digest: len(trusted.intersection(chains)) for digest, chains in holders.items()}
    return {digest: count for digest, count in counts.items() if count}


def _claimed(index: Index, image: Image) -> dict[str, tuple[KnownImage, ...]]:
    found = {}
    for claim in claims(image):
        known = tuple(KnownImage(r.image, r.names) for r in _records(index, image, claim))
        if known:
            found[claim.key] = known
    return found


def _records(index: Index, image: Image, claim: Claim) -> list[ImageRecord]:
    if claim.malformed:
        return []
    if claim.kind == "digest":
        record = index.image_by_manifest(Digest.parse(claim.value))
        return [record] if record else []
    if claim.kind == "name":
        return _by_name(index, claim.value)
    return [
        record
        for config in dict.fromkeys(r.config_digest for r in index.trust_records())
        if (record := index.image_by_config(config)) is not None
        and record.image.config_digest != image.config_digest
        and starts_with_history(image, record.image)
    ]


def _by_name(index: Index, name: str) -> list[ImageRecord]:
    from layerproof.model.reference import parse_reference  # late: most images claim no name

    try:
        reference = str(parse_reference(name))
    except (ManifestError, ReferenceSyntaxError):
        return []
    return index.images_by_name(reference)[:_MOST_BUILDS]


def _near(index: Index, image: Image, touching: Collection[TrustRecord]) -> tuple[TrustRecord, ...]:
    """Trust of images with the same name, or with contents of this one in another place."""
    ids = {record.id for record in touching}
    diff_ids = {layer.diff_id for layer in image.layers}
    name = _plain_name(image.reference)
    found = []
    for record in index.trust_records():
        if record.id in ids:
            continue
        if _plain_name(record.reference) == name:
            found.append(record)
            continue
        other = index.image_by_config(record.config_digest)
        if other and any(layer.diff_id in diff_ids for layer in other.image.layers):
            found.append(record)
    return tuple(found)


def _plain_name(reference: str) -> str:
    """Without tag and digest: what people call an image across its builds."""
    transport, _, name = reference.partition("@")[0].partition(":")
    head, colon, tag = name.rpartition(":")
    return f"{transport}:{head if colon and '/' not in tag else name}"
