"""The `exceptions` of a policy file: nodes in, `PolicyException`s and problems out."""

import re
from collections.abc import Mapping

from layerproof.errors import PolicyError
from layerproof.policy.document import Item, Node
from layerproof.policy.exceptions import PolicyException, end_of
from layerproof.policy.load_blocks import read_text
from layerproof.policy.nodes import Nodes, shown
from layerproof.policy.patterns import check_pattern
from layerproof.rules.globs import check_glob
from layerproof.rules.registry import RULES

MAX_EXCEPTIONS = 2_000
MAX_ITEMS = 200  # in one list of one exception

_KEYS = ("images", "rules", "reason", "owner", "until", "paths", "layers", "vulnerabilities")
_VULNERABILITY = re.compile(r"[A-Za-z][A-Za-z0-9]*-[A-Za-z0-9:._-]{1,100}")
_CHAIN_ID = "sha256: and 64 hex digits, as `layerproof show` prints them"


def read_exceptions(nodes: Nodes, node: Node) -> tuple[PolicyException, ...]:
    """All of them; those with a problem are left out, and the problem is noted."""
    if not isinstance(node.value, list) or not 0 < len(node.value) <= MAX_EXCEPTIONS:
        wanted = f"a list of 1 to {MAX_EXCEPTIONS} exceptions"
        nodes.note(
            node, f"exceptions is not {wanted}", "write - images: … below it, or leave it out"
        )
        return ()
    found = (_one(nodes, item) for item in node.value)
    return tuple(exception for exception in found if exception is not None)


def _one(nodes: Nodes, node: Node) -> PolicyException | None:
    keys = nodes.mapping(node, "an exception", _KEYS)
    if not isinstance(node.value, dict):
        return None
    missing = [key for key in _KEYS[:5] if key not in keys]
    if missing:
        nodes.note(node, f"an exception without {', '.join(missing)}", "each of them is needed")
    before = nodes.count
    exception = PolicyException(
        images=nodes.items(keys, "images", MAX_ITEMS, check_pattern),
        rules=nodes.items(keys, "rules", MAX_ITEMS, _check_rule),
        reason=read_text(nodes, keys, "reason"),
        owner=read_text(nodes, keys, "owner"),
        until=_day(nodes, keys),
        paths=nodes.items(keys, "paths", MAX_ITEMS, check_glob),
        layers=nodes.items(keys, "layers", MAX_ITEMS, _check_layer),
        vulnerabilities=nodes.items(keys, "vulnerabilities", MAX_ITEMS, _check_vulnerability),
    )
    return None if missing or nodes.count > before else exception


def _check_rule(name: str) -> None:
    if name not in [rule.id for rule in RULES]:
        known = ", ".join(rule.id for rule in RULES)
        raise PolicyError(f"there is no rule {name[:60]!r}", remedy=f"known here: {known}")


def _check_layer(text: str) -> None:
    head, _, digits = text.partition(":")
    if head != "sha256" or len(digits) != 64 or set(digits) - set("0123456789abcdef"):
        raise PolicyError(f"{text[:80]!r} is not a ChainID", remedy=f"write {_CHAIN_ID}")


def _check_vulnerability(text: str) -> None:
    if _VULNERABILITY.fullmatch(text) is None:
        raise PolicyError(
            f"{text[:80]!r} is not the name of a vulnerability", remedy="for example CVE-2026-12345"
        )


def _day(nodes: Nodes, keys: Mapping[str, Item]) -> str:
    if "until" not in keys:
        return ""
    node = keys["until"].value
    try:
        if not isinstance(node.value, str) or len(node.value) != 10:
            raise ValueError("not a day")
        end_of(node.value)
    except (ValueError, OverflowError):
        nodes.note(node, f"{shown(node)} is not a day", "write the last day as 2027-01-31")
        return ""
    return node.value
