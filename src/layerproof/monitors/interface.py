"""What a monitor of a runtime brings: one file per runtime.

Events make a monitor fast, lists make it right: events are lost when a listener is slow, when it
reconnects, or when somebody wants them lost. Whatever is listed and was not seen is seen then.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from enum import StrEnum
from typing import NamedTuple, Protocol

from layerproof.model.gate import Reaction
from layerproof.model.running import Running


class Change(StrEnum):
    """What happened to a container."""

    STARTED = "started"
    STOPPED = "stopped"


class Happening(NamedTuple):
    """One event. What it says of the container is not believed: the runtime is asked again."""

    change: Change
    id: str
    namespace: str = ""


class Runtime(Protocol):
    """One runtime on this machine. Blocks; used from several threads. Raises LayerproofError."""

    @property
    def name(self) -> str:
        """ "docker" or "containerd": the gate whose policy holds."""

    @property
    def address(self) -> str:
        """Where it is reached."""

    def running(self) -> Sequence[Running]:
        """Everything that runs now."""

    def inspect(self, id: str, namespace: str = "") -> Running | None:
        """One container; None if it does not run (any more)."""

    def events(self) -> AbstractContextManager[Iterator[Happening]]:
        """Events from now on. Leaving the block ends it, also while another thread waits in it."""

    def react(self, running: Running, reaction: Reaction) -> None:
        """Pause, stop or kill it (quarantine: kill). What is gone already is no error."""

    def readable(self, running: Running) -> AbstractContextManager[str]:
        """A reference by which its image can be read here, as long as the block lasts; "" where it
        cannot."""
