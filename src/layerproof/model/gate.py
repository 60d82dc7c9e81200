"""What gates are asked, what they answer, and what is counted of it.

1. A verdict says what the policy makes of an image; it is the same wherever it is asked for.
2. A gate's *mode* says what is done with that: in `observe` nothing but counting, in `alert`
   nothing but telling, in `enforce` what the verdict says.
3. What cannot be judged has a cause of its own. It is never admitted by accident: what happens then
   is the policy's word (`undecided`, `unavailable`), and the answer says so.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from layerproof.model.digest import ChainId, Digest
from layerproof.model.facts import COMMAND_LINE, Context
from layerproof.model.image import Image, Platform
from layerproof.model.verdict import Decision, Trust


class Mode(StrEnum):
    """What a gate does with a refusal; from the mildest on."""

    OBSERVE = "observe"  # admit, and count what would have been refused
    ALERT = "alert"  # admit, and tell
    ENFORCE = "enforce"  # refuse


class Cause(StrEnum):
    """Whence an answer comes. Stable words; they appear in machine output and metrics."""

    VERDICT = "verdict"  # the image was judged
    UNKNOWN = "unknown"  # the index does not hold the image
    UNAVAILABLE = "unavailable"  # index, policy, registry, engine or service did not answer
    REQUEST = "request"  # the request itself may not be made, whatever image it names


class Reaction(StrEnum):
    """What is done with a container that runs and is refused; from the mildest on."""

    ALERT = "alert"
    PAUSE = "pause"
    STOP = "stop"
    KILL = "kill"
    QUARANTINE = "quarantine"  # kill, pull its layers into quarantine, and withdraw them


class TagAction(StrEnum):
    """What becomes of the tags of an image that is withdrawn."""

    KEEP = "keep"
    MOVE = "move"  # to a tag that says so
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Question:
    """One image that somebody wants to run, in one place.

    `names` are references or bare digests for the same image, the best one first: the first that
    the index knows is judged. Each must name bytes, by a digest: a tag may have moved.
    """

    names: tuple[str, ...]
    context: Context = COMMAND_LINE
    platform: Platform | None = None
    # What whoever will run it calls it: a name must lead to an image with this manifest, index or
    # config digest, and with this top layer; None: the names alone say which
    identity: Digest | None = None
    top: ChainId | None = None

    def means(self, image: Image) -> bool:
        """Whether this is the image that is asked about."""
        if self.top is not None and image.top != self.top:
            return False
        digests = (image.config_digest, image.manifest_digest, image.index_digest)
        return self.identity is None or self.identity in digests

    @property
    def key(self) -> tuple[object, ...]:
        """Equal for equal questions, and hashable."""
        context = self.context
        labels = None if context.labels is None else tuple(sorted(context.labels.items()))
        where = (context.gate, context.namespace, context.host, labels)
        return (self.names, where, self.platform, self.identity, self.top)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a gate does, and why."""

    decision: Decision  # what the gate does
    decided: Decision  # what it would do in the mode `enforce`
    mode: Mode
    cause: Cause
    reason: str  # for whoever asked, in one line; "" when nothing is to be said
    remedy: str = ""
    reference: str = ""  # by which the image was judged
    manifest_digest: Digest | None = None
    config_digest: Digest | None = None
    top: ChainId | None = None
    verdict: Trust | None = None  # None: it was not judged
    verdict_id: str = ""
    rules: tuple[str, ...] = ()  # whose findings decided

    @property
    def admitted(self) -> bool:
        """Whether the gate lets it pass."""
        return self.decision is not Decision.REFUSE

    @property
    def notable(self) -> bool:
        """Whether it is more than a plain admission: somebody is told of it. What came in only
        because nobody could be asked is looked for afterwards."""
        return self.decided is not Decision.ADMIT or self.cause is Cause.UNAVAILABLE

    @property
    def would_refuse(self) -> bool:
        """Whether only the mode lets it pass."""
        return self.admitted and self.decided is Decision.REFUSE


@dataclass(frozen=True, slots=True)
class Tally:
    """How often a gate answered the same. Times are aware, UTC."""

    gate: str
    host: str
    namespace: str
    reference: str
    mode: Mode
    cause: Cause
    decided: Decision
    decision: Decision
    reason: str
    first_at: datetime
    last_at: datetime
    count: int


@dataclass(frozen=True, slots=True)
class GatePolicy:
    """What a policy says about one gate; None: as it says for all."""

    undecided: Decision | None = None
    mode: Mode | None = None
    unavailable: Decision | None = None
    running: Reaction | None = None
    calls: Mapping[str, Decision] | None = None  # by kind of call; see `gates.docker`
