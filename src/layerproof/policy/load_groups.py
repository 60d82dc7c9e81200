"""The `identities` and `groups` of a policy file: nodes in, what they mean and problems out."""

import re
from collections.abc import Mapping

from layerproof.errors import PolicyError
from layerproof.model.identity import Identity
from layerproof.policy.document import Item, Node, Number
from layerproof.policy.groups import Group
from layerproof.policy.load_blocks import HOST
from layerproof.policy.nodes import Nodes, shown
from layerproof.policy.patterns import check_pattern

MAX_NAMED = 1_000  # groups, and identities
MAX_ITEMS = 2_000  # in one list

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_DAYS = re.compile(r"[1-9][0-9]{0,4}")


def read_identities(nodes: Nodes, node: Node) -> dict[str, Identity]:
    """By name."""
    found = {}
    for name, value in _named(nodes, node, "identities"):
        keys = nodes.mapping(value, f"the identity {name}", ("registries", "accounts"))
        if missing := [key for key in ("registries", "accounts") if key not in keys]:
            nodes.note(value, f"the identity {name} has no {' and no '.join(missing)}",
                       "an account means something at its registry only: write both")  # fmt: skip
        found[name] = Identity(
            name=name,
            registries=nodes.items(keys, "registries", MAX_ITEMS, _check_host),
            accounts=nodes.items(keys, "accounts", MAX_ITEMS, _check_account),
        )
    return found


def read_groups(nodes: Nodes, node: Node, identities: Mapping[str, Identity]) -> tuple[Group, ...]:
    """In the order of the file."""
    found = []
    for name, value in _named(nodes, node, "groups"):
        known = ("images", "digests", "chainIds", "pushedBy", "maxAgeDays")
        keys = nodes.mapping(value, f"the group {name}", known)
        if not any(key in keys for key in known[:3]):
            nodes.note(
                value, f"the group {name} names no image", "write images, digests or chainIds"
            )

        def check_identity(text: str) -> None:
            if text not in identities:
                defined = ", ".join(identities) or "none"
                raise PolicyError(
                    f"there is no identity {text[:60]!r}",
                    remedy=f"define it under identities; defined: {defined}",
                )

        found.append(
            Group(
                name=name,
                images=nodes.items(keys, "images", MAX_ITEMS, check_pattern),
                digests=nodes.items(keys, "digests", MAX_ITEMS, _check_digest),
                chain_ids=nodes.items(keys, "chainIds", MAX_ITEMS, _check_digest),
                pushed_by=nodes.items(keys, "pushedBy", MAX_ITEMS, check_identity),
                max_age_days=_days(nodes, keys),
            )
        )
    return tuple(found)


def _named(nodes: Nodes, node: Node, what: str) -> list[tuple[str, Node]]:
    if not isinstance(node.value, dict) or not 0 < len(node.value) <= MAX_NAMED:
        wanted = f"a mapping of 1 to {MAX_NAMED} names"
        nodes.note(node, f"{what} is not {wanted}", "write name: … below it, or leave it out")
        return []
    found = []
    for name, item in node.value.items():
        if _NAME.fullmatch(name) is None:
            remedy = "lower-case letters, digits, . _ and -"
            nodes.note(item.key, f"{name[:60]!r} is no name in {what}", remedy)
        else:
            found.append((name, item.value))
    return found


def _check_host(text: str) -> None:
    pattern, wanted = HOST
    if pattern.fullmatch(text) is None:
        raise PolicyError(f"{text[:60]!r} is no registry", remedy=f"write {wanted}")


def _check_account(text: str) -> None:
    if len(text) > 256 or not text.isprintable() or not text.strip("*"):
        raise PolicyError(
            f"{text[:60]!r} is no account",
            remedy="write it as the registry names it; * stands for any text, not for all of it",
        )


def _check_digest(text: str) -> None:
    if _DIGEST.fullmatch(text) is None:
        raise PolicyError(f"{text[:80]!r} is no digest", remedy="write sha256: and 64 hex digits")


def _days(nodes: Nodes, keys: Mapping[str, Item]) -> int | None:
    if "maxAgeDays" not in keys:
        return None
    node = keys["maxAgeDays"].value
    if isinstance(node.value, Number) and _DAYS.fullmatch(node.value.text):
        return int(node.value.text)
    nodes.note(node, f"{shown(node)} is not a number of days", "write a whole number from 1 on")
    return None
