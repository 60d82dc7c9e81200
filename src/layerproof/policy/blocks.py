"""Blocks: what a policy says about some images in some places, other than about all of them.

1. Blocks are asked in the order of the file. For each rule, the *first* block whose scope fits and
   that names the rule decides it, wholly; what no block decides is as the policy says for all. The
   same holds for `undecided`, `message` and `mode`. A reader goes from the top down to the first
   that fits.
2. A scope fits when each of its keys does, and a key when one of its items does. A key whose fact
   is not known to the gate does not fit.
3. Labels are those of the workload. What stands inside an image is its author's word and scopes
   nothing.
4. Names of blocks are for people: they decide nothing and are not part of the policy's digest.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from layerproof.errors import LayerproofError
from layerproof.model.facts import Context
from layerproof.model.gate import Mode
from layerproof.model.reference import DOCKER, parse_reference
from layerproof.model.verdict import Decision
from layerproof.policy.ruling import RulePolicy
from layerproof.rules.globs import GlobSet


@dataclass(frozen=True)
class Scope:
    """Which images in which places. Empty keys say nothing; one at least is not empty."""

    registries: tuple[str, ...] = ()  # hosts, or *.DOMAIN
    repositories: tuple[str, ...] = ()  # segments with * and **
    namespaces: tuple[str, ...] = ()  # with *
    hosts: tuple[str, ...] = ()  # with *
    labels: Mapping[str, str] = field(default_factory=dict)  # of the workload; values with *

    def fits(self, reference: str, context: Context) -> bool:
        """Whether an image judged by this reference, asked for there, is meant."""
        host, repository = _names(reference)
        facts = (
            ("registries", host),
            ("repositories", repository),
            ("namespaces", context.namespace),
            ("hosts", context.host),
        )
        if not all(_among(value, self._globs[key]) for key, value in facts if key in self._globs):
            return False
        given = context.labels or {}
        return all(
            _among(given.get(name), GlobSet([f"/x/{value}"])) for name, value in self.labels.items()
        )

    @cached_property
    def _globs(self) -> Mapping[str, GlobSet]:
        return {
            key: GlobSet(f"/x/{item}" for item in getattr(self, key))
            for key in ("registries", "repositories", "namespaces", "hosts")
            if getattr(self, key)
        }


@dataclass(frozen=True, slots=True)
class Block:
    """One entry of `blocks`."""

    name: str
    scope: Scope
    rules: Mapping[str, RulePolicy]  # those that it names
    undecided: Decision | None = None
    message: str = ""
    mode: Mode | None = None


def fitting(blocks: Iterable[Block], reference: str, context: Context) -> list[Block]:
    """Those whose scope fits, in the order of the file."""
    return [block for block in blocks if block.scope.fits(reference, context)]


def _among(value: str | None, globs: GlobSet) -> bool:
    """The globs stand below a segment `x`: names are no paths, and /bin means nothing here."""
    return bool(value) and globs.match(f"x/{value}".encode("utf-8", "backslashreplace")) is not None


def _names(reference: str) -> tuple[str | None, str | None]:
    """Registry and repository; None for images that are in no registry."""
    try:
        parsed = parse_reference(reference)
    except LayerproofError:
        return None, None
    return (parsed.host, parsed.repository) if parsed.transport == DOCKER else (None, None)
