"""Looking at registries: what is found, in which order, and what hinders nothing."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from layerproof.engine.intake import Intake
from layerproof.engine.queue import CancelledError
from layerproof.engine.reconcile import MOST_TOLD, Looked, Polled, look, newest
from layerproof.errors import LimitExceededError, PolicyError, ProtocolError, UnreachableError
from layerproof.model.digest import Digest
from layerproof.model.event import EventKind
from layerproof.service_config import parse_service_config
from layerproof.testing.index import MemoryIndex
from layerproof.testing.queue import MemoryQueue

NOW = datetime(2026, 3, 9, tzinfo=UTC)
HOST = "registry.example"


class Stopped:
    """A clock that stands."""

    def now(self) -> datetime:
        return NOW

    def monotonic(self) -> float:
        return 0.0


class Lists:
    """A catalog in memory: repository → tag → contents, or an error in place of any of them."""

    def __init__(self, held: dict[str, object], broken: Exception | None = None) -> None:
        self.held = held
        self.broken = broken
        self.listed = 0

    def repositories(self) -> Iterator[str]:
        self.listed += 1
        yield from self.held
        if self.broken is not None:
            raise self.broken

    def tags(self, repository: str) -> list[str]:
        found = self.held[repository]
        if isinstance(found, Exception):
            raise found
        assert isinstance(found, dict)
        return list(found)

    def digest_of(self, repository: str, tag: str) -> Digest | None:
        found = self.held[repository][tag]  # type: ignore[index]
        if isinstance(found, Exception):
            raise found
        return None if found is None else Digest.of(found)


class World:
    def __init__(self) -> None:
        self.index, self.queue = MemoryIndex(), MemoryQueue(Stopped())
        self.intake = Intake(self.index, self.queue, Stopped())

    def look(self, lists: Lists, *repositories: str, newest_tags: int = 20) -> Looked:
        return look(lists, Polled(HOST, repositories, newest_tags), self.intake, NOW)

    def seen(self) -> set[str]:
        return {f"{event.repository}:{event.tag}" for event in self.index.events()}


@pytest.fixture
def world() -> World:
    return World()


def test_globs_choose_and_names_need_no_list(world: World) -> None:
    held = {name: {"1": b"x"} for name in ("team/app", "team/sub/app", "tools/base", "other/app")}
    lists = Lists(dict(held))
    world.look(lists, "tools/base")
    assert (world.seen(), lists.listed) == ({"tools/base:1"}, 0)
    found = world.look(lists, "team/*", "tools/base")
    assert world.seen() == {"tools/base:1", "team/app:1"}
    assert (found.repositories, found.tags, found.accepted.events) == (2, 2, 1)
    world.look(lists, "team/**")
    assert "team/sub/app:1" in world.seen()
    assert "other/app:1" not in world.seen()


def test_what_was_seen_is_told_once_and_a_tag_that_moved_again(world: World) -> None:
    lists = Lists({"a/b": {"latest": b"one"}})
    assert world.look(lists, "a/b").accepted.events == 1
    assert world.look(lists, "a/b").accepted.events == 0
    lists.held["a/b"] = {"latest": b"two"}
    assert world.look(lists, "a/b").accepted.events == 1
    kinds = {event.kind for event in world.index.events()}
    assert kinds == {EventKind.SIGHTING}
    assert {event.account for event in world.index.events()} == {""}


def test_newest_are_names_without_numbers_then_the_highest_numbers() -> None:
    tags = ["1.9", "1.10", "1.2-rc1", "1.2", "latest", "main", "2.0", "20260101"]
    assert newest(tags, 5) == ["latest", "main", "20260101", "2.0", "1.10"]
    assert newest(tags, 99)[-2:] == ["1.2", "1.2-rc1"]
    versions = ["3.0.0-alpine", "2.1.1", "2.1", "2.1-rc2", "2.1-rc1", "2.1-beta9", "2.1a1"]
    ordered = newest(list(reversed(versions)), 99)
    assert ordered[:3] == versions[:3]
    assert ordered.index("2.1-rc2") < ordered.index("2.1-rc1")


def test_only_so_many_tags_are_asked_for(world: World) -> None:
    tags: dict[str, object] = {f"1.{number}": b"%d" % number for number in range(50)}
    tags["1.0"] = AssertionError("asked for")
    assert world.look(Lists({"a/b": tags}), "a/b", newest_tags=3).tags == 3
    assert world.seen() == {"a/b:1.49", "a/b:1.48", "a/b:1.47"}


@pytest.mark.parametrize(
    "error",
    [
        UnreachableError("down"),
        ProtocolError("nonsense"),
        LimitExceededError("too much", limit="json_bytes"),
    ],
)
def test_a_repository_or_tag_that_cannot_be_read_hinders_no_other(
    world: World, error: Exception
) -> None:
    lists = Lists({"a/a": error, "a/b": {"1": error, "2": b"x"}, "a/c": {"1": b"x", "gone": None}})
    found = world.look(lists, "a/*")
    assert world.seen() == {"a/b:2", "a/c:1"}
    assert [where for where, _ in found.failed] == ["a/a", "a/b:1"]


@pytest.mark.parametrize(
    "name",
    [
        "",
        "a/../b",
        "A/b",
        "a/b\n",
        "a\x1b[2J",
        "\ud800",
        "a/b?x=1",
        "a b",
        "a" * 9000,
        "a@sha256:0",
    ],
)
def test_a_name_that_is_none_is_told_and_hinders_nothing(world: World, name: str) -> None:
    tags: dict[str, object] = {"1": b"x", name: AssertionError("asked for")}
    lists = Lists({name: AssertionError("asked for"), "a/b": tags})
    found = world.look(lists, "**")
    assert world.seen() == {"a/b:1"}
    assert found.failures >= 1
    for where, _ in found.failed:
        assert where.isprintable()
        assert len(where) < 1000


def test_failures_are_counted_and_the_first_are_told(world: World) -> None:
    found = world.look(Lists({f"No{number}": b"" for number in range(500)}), "**")
    assert (found.failures, len(found.failed)) == (500, MOST_TOLD)


def test_a_list_that_breaks_off_loses_nothing_of_what_came(world: World) -> None:
    held: dict[str, object] = {"a/b": {"1": b"x"}}
    found = world.look(Lists(held, ProtocolError("circles")), "**")
    assert world.seen() == {"a/b:1"}
    assert found.failed == ((HOST, "circles"),)


def test_a_registry_that_is_down_is_an_error_so_that_the_job_is_tried_again(world: World) -> None:
    with pytest.raises(UnreachableError):
        world.look(Lists({}, UnreachableError("down")), "**")


def test_a_look_can_be_cancelled(world: World) -> None:
    with pytest.raises(CancelledError):
        look(Lists({"a/b": {}}), Polled(HOST, ("a/b",)), world.intake, NOW, lambda: True)


_HELD = ("base", "lib/app", "team/app", "team/sub/app", "usr/lib/app")


@pytest.mark.parametrize(
    ("globs", "seen"),
    [
        (("**",), set(_HELD)),
        (("*",), {"base"}),
        (("team/*",), {"team/app"}),
        (("team/**",), {"team/app", "team/sub/app"}),
        (("**/app",), set(_HELD) - {"base"}),
        (("lib/*",), {"lib/app"}),  # names are no paths of a merged /usr
        (("base", "team/*"), {"base", "team/app"}),
        (("gone/*",), set()),
    ],
)
def test_repositories_are_named_by_globs(
    world: World, globs: tuple[str, ...], seen: set[str]
) -> None:
    held: dict[str, object] = {name: {"1": b"x"} for name in _HELD}
    looked = world.look(Lists(held), *globs)
    assert world.seen() == {f"{name}:1" for name in seen}
    assert looked.repositories == len(seen)
    assert looked.failed == ()


@pytest.mark.parametrize("glob", ["a**b", "te[a]m/*", "/team/*", "team/../x", ""])
def test_a_glob_that_a_look_could_not_use_is_refused_at_the_start(glob: str) -> None:
    text = f'registries: [{{host: r.example, repositories: ["{glob}"]}}]'
    with pytest.raises(PolicyError):
        parse_service_config(text.encode(), where="service.yaml")
