"""Events: what happened outside the bytes. Append-only; a report counts once, by its identity."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from layerproof.model.digest import ChainId, Digest


class EventKind(StrEnum):
    """Stable words; they appear in machine output."""

    PUSH = "push"
    PULL = "pull"
    MOUNT = "mount"
    DELETE = "delete"
    START = "start"
    STOP = "stop"
    SIGHTING = "sighting"  # seen in a place, without knowing who put it there


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened to one image, as whoever saw it reported it. `at` is aware, UTC.

    Empty text means that the report did not say: an account of "" is an unknown one.
    """

    identity: str  # the same for every copy of one report
    kind: EventKind
    at: datetime
    registry: str = ""  # host[:port], as in references
    repository: str = ""
    tag: str = ""
    manifest_digest: Digest | None = None
    account: str = ""  # as the registry names it
    address: str = ""  # IP address of whoever asked
    details: Mapping[str, object] = field(default_factory=dict)  # plain JSON values
    country: str = ""  # ISO 3166-1 alpha-2 of the address, or the operator's name of an own network
    host: str = ""  # where something started, stopped or was seen
    blob_digest: Digest | None = None  # of a mount: the layer as it is stored
    chain_id: ChainId | None = None  # of a start or stop: the top layer that ran
