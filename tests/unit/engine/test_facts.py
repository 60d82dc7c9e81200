"""What the rules are given."""

from collections.abc import Collection
from datetime import UTC, datetime

import pytest

from layerproof.analysis.registry import dispatch
from layerproof.engine.evaluator import evaluate
from layerproof.engine.facts import gather
from layerproof.engine.indexer import Indexer
from layerproof.engine.trust import add_trust
from layerproof.model.image import Image
from layerproof.model.verdict import Decision
from layerproof.oci.limits import Limits
from layerproof.policy.defaults import DEFAULT_POLICY
from layerproof.testing.images import BuiltImage, File, Whiteout, build
from layerproof.testing.index import MemoryIndex
from layerproof.testing.source import MemorySource
from layerproof.workers import Inline

NOW = datetime(2026, 1, 1, tzinfo=UTC)
OS = build([{"etc/shadow": "root:!:\n", "usr/bin/su": File(b"su", mode=0o755)}])
SUID = build([{"usr/bin/evil": File(b"e", mode=0o4755)}], base=OS)
FIXED = build([{"usr/bin/evil": Whiteout()}], base=SUID)


class FixedClock:
    def now(self) -> datetime:
        return NOW

    def monotonic(self) -> float:
        return 0.0


class Unseen:
    def resolved(self, image: Image, known: Collection[int]) -> None: ...

    def layer_progress(self, position: int, bytes_read: int) -> None: ...

    def layer_done(self, position: int) -> None: ...


@pytest.fixture
def index() -> MemoryIndex:
    return MemoryIndex()


def read(index: MemoryIndex, image: BuiltImage) -> Image:
    indexer = Indexer(index, Inline(), FixedClock(), dispatch(), Limits())
    return indexer.run(MemorySource(image), Unseen()).image


def test_layer_that_a_larger_trusted_image_contains_is_still_judged(index: MemoryIndex) -> None:
    """Trusting an image that takes a bad layer back again does not trust the bad layer alone."""
    trusted, bad = read(index, OS), read(index, SUID)
    add_trust(index, trusted, by="a", reason="r", now=NOW, expires_at=None)
    assert evaluate(gather(index, bad, NOW), DEFAULT_POLICY).decision is Decision.REFUSE
    add_trust(index, read(index, FIXED), by="a", reason="r", now=NOW, expires_at=None)
    verdict = evaluate(gather(index, bad, NOW), DEFAULT_POLICY)
    assert verdict.decision is Decision.REFUSE
    assert "protected-path" in [f.rule for f in verdict.layers[1].findings]


def test_changes_in_the_base_are_not_decoded_and_nothing_depends_on_them(
    index: MemoryIndex,
) -> None:
    add_trust(index, read(index, SUID), by="a", reason="r", now=NOW, expires_at=None)
    image = read(index, FIXED)
    short, whole = gather(index, image, NOW), gather(index, image, NOW, whole=True)
    assert short.layers[1].changes != whole.layers[1].changes
    assert evaluate(short, DEFAULT_POLICY) == evaluate(whole, DEFAULT_POLICY)


def test_the_config_is_judged_against_that_of_the_trusted_base(index: MemoryIndex) -> None:
    allocator = "LD_PRELOAD=/usr/lib/libjemalloc.so.2"
    golden = build([{"usr/lib/libjemalloc.so.2": "j"}], env=[allocator])
    add_trust(index, read(index, golden), by="a", reason="r", now=NOW, expires_at=None)
    app = {"srv/app.py": "pass\n", "srv/x.so": "x"}
    same = read(index, build([app], base=golden, env=[allocator]))
    other = read(index, build([app], base=golden, env=["LD_PRELOAD=/srv/x.so"]))
    assert evaluate(gather(index, same, NOW), DEFAULT_POLICY).decision is Decision.ADMIT
    verdict = evaluate(gather(index, other, NOW), DEFAULT_POLICY)
    assert verdict.decision is Decision.REFUSE
    assert [f.evidence["check"] for f in verdict.findings] == ["preload"]


def test_the_layers_of_a_trusted_image_with_another_config_are_refused(index: MemoryIndex) -> None:
    """Docker's image store tells images apart by config: the same layers may start other code."""
    golden = build([{"bin/sh": "s"}])
    add_trust(index, read(index, golden), by="a", reason="r", now=NOW, expires_at=None)
    twin = read(index, build([], base=golden, env=["BASH_ENV=/dev/shm/rc"]))
    verdict = evaluate(gather(index, twin, NOW), DEFAULT_POLICY)
    assert verdict.decision is Decision.REFUSE
    assert [f.rule for f in verdict.findings] == ["image-config"]
