"""Which repositories of a registry are looked at, and which tags."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from layerproof.engine.intake import Intake
from layerproof.engine.reconcile import Polled, look
from layerproof.errors import PolicyError
from layerproof.model.digest import Digest
from layerproof.service_config import parse_service_config
from layerproof.testing.index import MemoryIndex
from layerproof.testing.queue import MemoryQueue

NOW = datetime(2026, 11, 28, tzinfo=UTC)
HELD = ("base", "lib/app", "team/app", "team/sub/app", "usr/lib/app")


class Held:
    """A registry's catalog in memory."""

    def repositories(self) -> Iterator[str]:
        return iter(HELD)

    def tags(self, repository: str) -> list[str]:
        return ["1"]

    def digest_of(self, repository: str, tag: str) -> Digest | None:
        return Digest("sha256:" + "ab" * 32)


class Still:
    """A clock that stands."""

    def now(self) -> datetime:
        return NOW

    def monotonic(self) -> float:
        return 0.0


@pytest.mark.parametrize(
    ("globs", "seen"),
    [
        (("**",), set(HELD)),
        (("*",), {"base"}),
        (("team/*",), {"team/app"}),
        (("team/**",), {"team/app", "team/sub/app"}),
        (("**/app",), set(HELD) - {"base"}),
        (("lib/*",), {"lib/app"}),  # names are no paths of a merged /usr
        (("base", "team/*"), {"base", "team/app"}),
        (("gone/*",), set()),
    ],
)
def test_repositories_are_named_by_globs(globs: tuple[str, ...], seen: set[str]) -> None:
    index = MemoryIndex()
    looked = look(Held(), Polled("r.example", globs), Intake(index, MemoryQueue(Still())), NOW)
    assert {event.repository for event in index.events()} == seen
    assert looked.repositories == len(seen)
    assert looked.failed == ()


@pytest.mark.parametrize("glob", ["a**b", "te[a]m/*", "/team/*", "team/../x", ""])
def test_a_glob_that_a_look_could_not_use_is_refused_at_the_start(glob: str) -> None:
    text = f'registries: [{{host: r.example, repositories: ["{glob}"]}}]'
    with pytest.raises(PolicyError):
        parse_service_config(text.encode(), where="service.yaml")
