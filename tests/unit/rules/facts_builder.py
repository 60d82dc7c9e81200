"""Facts about images, built in memory: names instead of bytes, so that a test reads as a story."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from layerproof.model.change import Change, ChangeKind, ChangeSet
from layerproof.model.digest import DiffId, Digest, chain_ids
from layerproof.model.entry import DIRECTORY, FILE, SYMLINK, Entry
from layerproof.model.facts import ImageFacts, KnownImage, LayerFacts
from layerproof.model.image import History, Image, Layer, Platform
from layerproof.model.trust import TrustRecord

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
AMD64 = Platform("linux", "amd64")
ARM64 = Platform("linux", "arm64")
WEEK = timedelta(days=7)


def make_layers(*contents: str) -> tuple[Layer, ...]:
    diff_ids = [DiffId.of(name.encode()) for name in contents]
    return tuple(
        Layer(position, diff_id, chain_id, None, f"RUN {contents[position]}")
        for position, (diff_id, chain_id) in enumerate(
            zip(diff_ids, chain_ids(diff_ids), strict=True)
        )
    )


def make_image(
    *contents: str,
    reference: str = "docker://registry.example/app:1",
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    history: Sequence[History] = (),
    platform: Platform = AMD64,
    index_digest: Digest | None = None,
    variant: str = "",
) -> Image:
    """An image whose layers have these contents, lowest first. `variant` tells configs apart."""
    config = {"config": {"Labels": dict(labels or {})}, "variant": variant}
    seed = repr((contents, reference, config, platform, annotations, history)).encode()
    return Image(
        reference=reference,
        config_digest=Digest.of(b"config" + seed),
        platform=platform,
        layers=make_layers(*contents),
        config=config,
        manifest_digest=Digest.of(b"manifest" + seed),
        index_digest=index_digest,
        manifest={"annotations": dict(annotations or {})},
        history=tuple(history),
    )


def make_trust(image: Image, **changes: object) -> TrustRecord:
    record = TrustRecord(
        id=image.config_digest.short,
        reference=image.reference,
        config_digest=image.config_digest,
        manifest_digest=image.manifest_digest,
        chain_ids=tuple(layer.chain_id for layer in image.layers),
        added_by="alice",
        added_at=NOW - 4 * WEEK,
        reason="golden base",
    )
    return replace(record, **changes)  # type: ignore[arg-type]  # because tests name the fields


def make_facts(
    image: Image,
    *,
    trust: Sequence[TrustRecord] = (),
    changes: Mapping[int, Sequence[Change] | None] | None = None,
    claimed: Mapping[str, tuple[KnownImage, ...]] | None = None,
    near: Sequence[TrustRecord] = (),
    now: datetime = NOW,
) -> ImageFacts:
    """`changes` by layer position; None for a layer that was not indexed."""
    given = changes or {}
    return ImageFacts(
        image=image,
        layers=tuple(
            LayerFacts(layer, change_set(given.get(layer.position, ()))) for layer in image.layers
        ),
        now=now,
        trust=tuple(trust),
        claimed=claimed or {},
        near=tuple(near),
    )


def change_set(changes: Sequence[Change] | None) -> ChangeSet | None:
    if changes is None:
        return None
    return ChangeSet(Counter(change.kind for change in changes), tuple(changes))


def known(image: Image, *names: str) -> KnownImage:
    return KnownImage(image, names or (image.reference,))


# --- entries and changes -----------------------------------------------------------------------


def a_file(path: str, contents: str = "", mode: int = 0o644, **more: object) -> Entry:
    owner = {"uid": 0, "gid": 0, **more}
    digest = Digest.of(contents.encode())
    return Entry(
        path=path.encode(),
        kind=FILE,
        mode=mode,
        size=len(contents),
        sha256=bytes.fromhex(digest.hex),
        link=None,
        **owner,  # type: ignore[arg-type]  # because tests name the fields
    )


def a_folder(path: str, mode: int = 0o755) -> Entry:
    return Entry(path.encode(), DIRECTORY, mode, 0, 0, 0, None, None)


def a_symlink(path: str, target: str) -> Entry:
    return Entry(path.encode(), SYMLINK, 0o777, 0, 0, 0, None, target.encode())


def added(entry: Entry, cause: str = "", target: str = "") -> Change:
    return Change(ChangeKind.ADDED, entry.path, None, entry, cause, target=target.encode())


def replaced(before: Entry, after: Entry) -> Change:
    return Change(ChangeKind.REPLACED, before.path, before, after)


def re_moded(before: Entry, after: Entry) -> Change:
    return Change(ChangeKind.ATTRIBUTES, before.path, before, after)


def identical(entry: Entry) -> Change:
    return Change(ChangeKind.IDENTICAL, entry.path, entry, entry)


def deleted(path: str, cause: str = "whiteout", by: str = "") -> Change:
    return Change(ChangeKind.DELETED, path.encode(), a_file(path), None, cause, by.encode())


def redirected(path: str, target: str, by: str = "", cause: str = "symlinked-parent") -> Change:
    return Change(
        ChangeKind.REDIRECTED,
        path.encode(),
        a_file(path),
        None,
        cause,
        by.encode(),
        target.encode(),
    )


def shadowed(hidden: str, by: str) -> Change:
    return Change(
        ChangeKind.SHADOWED,
        hidden.encode(),
        a_file(hidden, mode=0o755),
        a_file(by, mode=0o755),
        "search-path",
        by.encode(),
        by.encode(),
    )
