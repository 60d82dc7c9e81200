"""Containers of a Docker Engine.

1. An event names a container; everything else in it can be chosen by whoever made that (labels
   overwrite attributes). So the container is inspected, and its `Image` is the ID of what it was
   made from, whatever its name means by now.
2. `RootFS.Layers` of that image are the DiffIDs: the ChainID is known without reading anything.

Source: Docker Engine API v1.41, SystemEvents, ContainerList, ContainerInspect, ImageInspect.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from time import time
from typing import Any, Protocol

from layerproof.engine.dockerish import identity_of, references_of, top_of, workload_labels
from layerproof.errors import LayerproofError
from layerproof.model.gate import Reaction
from layerproof.model.running import Running
from layerproof.monitors.interface import Change, Happening

_CHANGES = {
    "start": Change.STARTED,
    "unpause": Change.STARTED,
    "die": Change.STOPPED,
    "destroy": Change.STOPPED,
}
_ACTIONS = {
    Reaction.PAUSE: "pause",
    Reaction.STOP: "stop",
    Reaction.KILL: "kill",
    Reaction.QUARANTINE: "kill",
}


class Events(Protocol):
    """A stream of events."""

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        """One after the other."""

    def close(self) -> None:
        """End it."""


class Engine(Protocol):
    """What the monitor asks of an engine."""

    @property
    def host(self) -> str:
        """Its address."""

    def image(self, name: str) -> Mapping[str, Any] | None:
        """ImageInspect; None if there is none."""

    def container(self, name: str) -> Mapping[str, Any] | None:
        """ContainerInspect; None if there is none."""

    def running(self) -> list[str]:
        """The IDs of all that run."""

    def events(self, since: int) -> Events:
        """Events of containers."""

    def act(self, container: str, action: str) -> None:
        """Pause, stop or kill."""


class DockerRuntime:
    """Implements `monitors.interface.Runtime`."""

    name = "docker"

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @property
    def address(self) -> str:
        """The engine's."""
        return self._engine.host

    def running(self) -> Sequence[Running]:
        """Everything that runs or is paused."""
        found = (self.inspect(identity) for identity in self._engine.running())
        return [running for running in found if running is not None]

    def inspect(self, id: str, namespace: str = "") -> Running | None:
        """One container."""
        told = self._engine.container(id)
        state = told.get("State") if told else None
        if told is None or not isinstance(state, dict) or not state.get("Running"):
            return None
        config = told.get("Config")
        config = config if isinstance(config, dict) else {}
        base = Running(
            id=str(told.get("Id") or id),
            runtime=self.name,
            started_at=_time(state.get("StartedAt")),
            name=str(told.get("Name") or "").lstrip("/"),
            image=str(config.get("Image") or ""),
        )
        try:
            image = self._engine.image(str(told.get("Image") or "")) or {"Id": told.get("Image")}
            return replace(
                base,
                identity=identity_of(image, base.image),
                top=top_of(image, base.image),
                references=tuple(references_of(image.get("RepoDigests"), base.image)),
                labels=workload_labels(config, image.get("Config")) or {},
            )
        except LayerproofError:
            return base  # something runs there, and nobody can tell what

    @contextmanager
    def events(self) -> Iterator[Iterator[Happening]]:
        """Starts and ends of containers, from now on."""
        stream = self._engine.events(int(time()) - 1)
        try:
            yield _happenings(stream)
        finally:
            stream.close()

    def react(self, running: Running, reaction: Reaction) -> None:
        """Pause, stop or kill."""
        if reaction in _ACTIONS:
            self._engine.act(running.id, _ACTIONS[reaction])

    def readable(self, running: Running) -> AbstractContextManager[str]:
        """The engine's own copy."""
        return _named(f"docker-daemon:{running.identity}" if running.identity else "")


@contextmanager
def _named(text: str) -> Iterator[str]:
    yield text


def _happenings(stream: Events) -> Iterator[Happening]:
    for event in stream:
        change = _CHANGES.get(str(event.get("Action")))
        actor = event.get("Actor")
        identity = actor.get("ID") if isinstance(actor, dict) else None
        if change is not None and isinstance(identity, str):
            yield Happening(change, identity)


def _time(text: object) -> datetime | None:
    """RFC 3339 with nanoseconds."""
    if isinstance(text, str):
        with suppress(ValueError):
            return datetime.fromisoformat(text[:19] + "+00:00").astimezone(UTC)
    return None
