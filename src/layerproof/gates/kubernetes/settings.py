"""What the operator chooses about the Kubernetes gate: the part `kubernetes` of the service's file.

kubernetes:
  pin: all                          # pods: not in workloads; none: nowhere
  platforms: [linux/amd64, linux/arm64]
  budgetSeconds: 8
  tagSeconds: 30
  exempt:
    - images: [registry.k8s.io/pause, "quay.example/cilium/*"]
      causes: [unknown, unavailable]
      namespaces: [kube-system]
      reason: needed before the index is there
      owner: platform@example.com
      until: 2027-01-31
  breakGlass:
    - groups: [oncall]
      namespaces: [shop]
      from: 2026-11-28T02:00:00Z
      until: 2026-11-28T06:00:00Z
      reason: the registry burns
      owner: jane@example.com

1. An exemption frees one cause on some images in some namespaces, until a day: nothing is known
   about them, something cannot be asked, they have no digest. A finding is never freed here: that
   is what the policy's `exceptions` are for, per image and rule.
2. Break-glass lets members of groups, or users, pass for some hours. Who is a member is what the
   API server authenticated. What they let in is written down, and the same image may be started
   in the same namespace until the window closes: the pods of a workload are made by controllers.
3. Every list must name something: an empty one never means all.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import cached_property

from layerproof.errors import PolicyError
from layerproof.gates.kubernetes.admission import Pin
from layerproof.gates.kubernetes.review import User
from layerproof.model.gate import Cause
from layerproof.model.image import Platform
from layerproof.policy.document import Item, Node, Number
from layerproof.policy.exceptions import end_of
from layerproof.policy.load_blocks import read_text
from layerproof.policy.nodes import Nodes, shown
from layerproof.policy.patterns import ImagePattern, check_pattern
from layerproof.rules.globs import GlobSet

LONGEST_WINDOW = timedelta(days=3)
MOST = 200
_NAMESPACE = re.compile(r"[a-z0-9*](?:[a-z0-9*-]{0,61}[a-z0-9*])?")
_PLATFORM = re.compile(r"[a-z0-9]+/[a-z0-9]+(?:/[a-z0-9.]+)?")
_KEYS = ("pin", "platforms", "budgetSeconds", "tagSeconds", "exempt", "breakGlass")
_EXEMPTION = ("images", "causes", "namespaces", "reason", "owner", "until")
_WINDOW = ("users", "groups", "namespaces", "from", "until", "reason", "owner")


class Exempted(StrEnum):
    """What an exemption can free."""

    UNKNOWN = "unknown"  # the index does not know the image
    UNAVAILABLE = "unavailable"  # index, policy or registry do not answer
    UNPINNED = "unpinned"  # it has a tag where there should be a digest


_CAUSES = {
    Cause.UNKNOWN: Exempted.UNKNOWN,
    Cause.UNAVAILABLE: Exempted.UNAVAILABLE,
    Cause.REQUEST: Exempted.UNPINNED,
}


@dataclass(frozen=True)
class Exemption:
    """One entry of `exempt`."""

    images: tuple[str, ...]  # patterns
    causes: tuple[Exempted, ...]
    namespaces: tuple[str, ...]  # with *
    reason: str
    owner: str
    until: str  # YYYY-MM-DD, the last day

    @cached_property
    def _patterns(self) -> tuple[ImagePattern, ...]:
        return tuple(map(ImagePattern, self.images))

    def frees(
        self, cause: Cause, reference: str, digests: Collection[str], namespace: str, now: datetime
    ) -> bool:
        """Whether it speaks of an image that is refused for this cause there, now."""
        return (
            _CAUSES.get(cause) in self.causes
            and now < end_of(self.until)
            and _among(namespace, self.namespaces)
            and any(pattern.names(reference, digests) for pattern in self._patterns)
        )


@dataclass(frozen=True)
class Window:
    """One entry of `breakGlass`."""

    users: tuple[str, ...]  # whole names
    groups: tuple[str, ...]  # whole names
    namespaces: tuple[str, ...]  # with *
    since: datetime
    until: datetime
    reason: str
    owner: str

    def opens_for(self, user: User, namespace: str, now: datetime) -> bool:
        """Whether this user may pass there, now."""
        if not self.since <= now < self.until or not _among(namespace, self.namespaces):
            return False
        return user.name in self.users or not user.groups.isdisjoint(self.groups)


@dataclass(frozen=True, slots=True)
class KubernetesSettings:
    """All of it; every part has a default."""

    pin: Pin = Pin.ALL
    platforms: tuple[Platform, ...] = ()  # of the nodes; none: the gate's own
    budget: float = 8.0  # seconds for one review; Kubernetes waits 10 by default
    tag_seconds: float = 30.0  # how long a resolved tag is remembered
    exempt: tuple[Exemption, ...] = ()
    windows: tuple[Window, ...] = ()


def _among(name: str, globs: tuple[str, ...]) -> bool:
    """As in the scopes of a policy: below a segment `x`, since names are no paths."""
    return GlobSet(f"/x/{glob}" for glob in globs).match(f"x/{name}".encode()) is not None


def read_kubernetes(nodes: Nodes, node: Node) -> KubernetesSettings:
    """From the service's file; what is wrong is noted."""
    keys = nodes.mapping(node, "kubernetes", _KEYS)
    platforms = nodes.items(keys, "platforms", 20, _check_platform)
    return KubernetesSettings(
        pin=nodes.word(keys, "pin", Pin, Pin.ALL),
        platforms=tuple(Platform(*text.split("/")) for text in platforms),
        budget=_seconds(nodes, keys, "budgetSeconds", 29, 8),
        tag_seconds=_seconds(nodes, keys, "tagSeconds", 3600, 30),
        exempt=tuple(filter(None, (_exemption(nodes, e) for e in _all(nodes, keys, "exempt")))),
        windows=tuple(filter(None, (_window(nodes, w) for w in _all(nodes, keys, "breakGlass")))),
    )


def _exemption(nodes: Nodes, node: Node) -> Exemption | None:
    before = nodes.count
    keys = _complete(nodes, node, "an exemption", _EXEMPTION, _EXEMPTION)
    made = Exemption(
        images=nodes.items(keys, "images", MOST, check_pattern),
        causes=tuple(map(Exempted, nodes.items(keys, "causes", 3, _check_cause))),
        namespaces=nodes.items(keys, "namespaces", MOST, _check_namespace),
        reason=read_text(nodes, keys, "reason"),
        owner=read_text(nodes, keys, "owner"),
        until=_day(nodes, keys),
    )
    return made if nodes.count == before else None


def _window(nodes: Nodes, node: Node) -> Window | None:
    before = nodes.count
    keys = _complete(nodes, node, "a window", _WINDOW, _WINDOW[2:])
    if not keys.keys() & {"users", "groups"}:
        nodes.note(node, "a window without users and groups", "write who may pass")
    since, until = _moment(nodes, keys, "from"), _moment(nodes, keys, "until")
    if not since < until <= since + LONGEST_WINDOW and nodes.count == before:
        nodes.note(
            keys["until"].value, f"the window is not open, or for more than {LONGEST_WINDOW.days}"
            " days", "break-glass is for hours: open another one when this is over",
        )  # fmt: skip
    found = Window(
        users=nodes.items(keys, "users", MOST, _check_name),
        groups=nodes.items(keys, "groups", MOST, _check_name),
        namespaces=nodes.items(keys, "namespaces", MOST, _check_namespace),
        since=since,
        until=until,
        reason=read_text(nodes, keys, "reason"),
        owner=read_text(nodes, keys, "owner"),
    )
    return found if nodes.count == before else None


def _complete(
    nodes: Nodes, node: Node, what: str, known: tuple[str, ...], needed: tuple[str, ...]
) -> dict[str, Item]:
    keys = nodes.mapping(node, what, known)
    missing = [key for key in needed if key not in keys]
    if missing:
        nodes.note(node, f"{what} without {', '.join(missing)}", "each of them is needed")
    return keys


def _all(nodes: Nodes, keys: Mapping[str, Item], key: str) -> list[Node]:
    if key not in keys:
        return []
    node = keys[key].value
    if not isinstance(node.value, list) or not 0 < len(node.value) <= MOST:
        nodes.note(node, f"{key} is not a list of 1 to {MOST} entries", "or leave it out")
        return []
    return list(node.value)


def _seconds(nodes: Nodes, keys: Mapping[str, Item], key: str, most: int, default: int) -> float:
    if key not in keys:
        return default
    value = keys[key].value.value
    text = value.text if isinstance(value, Number) else ""
    good = text.isdigit() and len(text) < 6 and 1 <= int(text) <= most
    nodes.checked(keys[key].value, good, f"a whole number of seconds from 1 to {most}")
    return float(text) if good else default


def _day(nodes: Nodes, keys: Mapping[str, Item]) -> str:
    if "until" not in keys:
        return ""
    value = keys["until"].value.value
    try:
        if not isinstance(value, str) or len(value) != 10:
            raise ValueError("no day")
        end_of(value)
    except (ValueError, OverflowError):
        nodes.note(keys["until"].value, f"{shown(keys['until'].value)} is not a day", "2027-01-31")
        return ""
    return value


def _moment(nodes: Nodes, keys: Mapping[str, Item], key: str) -> datetime:
    never = datetime(1, 1, 1, tzinfo=UTC)
    if key not in keys:
        return never
    value = keys[key].value.value
    try:
        found = datetime.fromisoformat(value if isinstance(value, str) else "")
        if found.tzinfo is None:
            raise ValueError("no time zone")
    except ValueError:
        wanted = "a time with its zone, such as 2026-11-28T02:00:00Z"
        nodes.note(keys[key].value, f"{shown(keys[key].value)} is not {wanted}", f"write {wanted}")
        return never
    return found


def _check_platform(text: str) -> None:
    if not _PLATFORM.fullmatch(text):
        raise PolicyError(f"{text[:60]!r} is no platform", remedy="write linux/arm64")


def _check_cause(text: str) -> None:
    known = ", ".join(Exempted)
    if text not in tuple(Exempted):
        raise PolicyError(
            f"{text[:60]!r} cannot be exempted here", remedy=f"known here: {known}; findings are"
            " excused by the policy's exceptions",
        )  # fmt: skip


def _check_namespace(text: str) -> None:
    if not _NAMESPACE.fullmatch(text):
        raise PolicyError(f"{text[:80]!r} is no namespace", remedy="write shop, team-* or *")


def _check_name(text: str) -> None:
    if not 0 < len(text) <= 300 or not text.isprintable() or "*" in text:
        raise PolicyError(f"{text[:80]!r} is no name", remedy="write the whole name, without *")
