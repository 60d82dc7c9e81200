"""The `blocks` and `gates` of a policy file: nodes in, `Block`s and problems out."""

import re
from collections.abc import Callable, Mapping

from layerproof.model.gate import GatePolicy, Mode, Reaction
from layerproof.model.verdict import Decision
from layerproof.policy.blocks import Block, Scope
from layerproof.policy.document import Item, Node
from layerproof.policy.nodes import Nodes, shown
from layerproof.policy.patterns import ALIAS
from layerproof.policy.ruling import RulePolicy

MAX_BLOCKS = 1_000
MAX_ITEMS = 200  # in one list of a scope
MAX_TEXT = 500
GATES = ("cli", "docker", "kubernetes", "containerd", "registry")
# Calls of the Docker Engine that are decided by their kind: docs/reference/policy.md says which.
CALLS = ("build", "load", "import", "commit", "tag", "archive", "plugins", "checkpoint", "other")

_LABEL = r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"
# A registry, and what to write for one
HOST = (
    re.compile(rf"(?:\*\.{_LABEL}(?:\.{_LABEL})+|{_LABEL}(?:\.{_LABEL})*)(?::[0-9]{{1,5}})?"),
    "a host such as docker.io or registry.example:5000, or *.example.com for those below a domain",
)
_ITEMS: Mapping[str, tuple[re.Pattern[str], str]] = {
    "registries": HOST,
    "repositories": (
        re.compile(r"(?:\*\*|[a-z0-9*](?:[a-z0-9._*-]*[a-z0-9*])?)(?:/(?:\*\*|[a-z0-9._*-]+))*"),
        "a repository such as team/app, team/* or team/**",
    ),
    "namespaces": (re.compile(r"[a-z0-9*](?:[a-z0-9*-]{0,62})"), "a namespace such as team-*"),
    "hosts": (re.compile(r"[A-Za-z0-9*](?:[A-Za-z0-9._*-]{0,252})"), "a host such as node-*"),
}
_LABEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,316}")
_LABEL_VALUE = re.compile(r"[A-Za-z0-9._*-]{1,63}")

ReadRules = Callable[[Node], Mapping[str, RulePolicy]]


def read_blocks(nodes: Nodes, node: Node, read_rules: ReadRules) -> tuple[Block, ...]:
    """All of them. `read_rules` reads what a block says about rules."""
    if not isinstance(node.value, list) or not 0 < len(node.value) <= MAX_BLOCKS:
        wanted = f"a list of 1 to {MAX_BLOCKS} blocks"
        nodes.note(node, f"blocks is not {wanted}", "write - name: … or leave the key out")
        return ()
    return tuple(_block(nodes, item, read_rules) for item in node.value)


def _block(nodes: Nodes, node: Node, read_rules: ReadRules) -> Block:
    known = ("name", "scope", "rules", "undecided", "message", "mode")
    keys = nodes.mapping(node, "a block", known)
    if isinstance(node.value, dict):
        if missing := [key for key in ("name", "scope") if key not in keys]:
            nodes.note(node, f"a block without {' and '.join(missing)}", "a block needs both")
        if not keys.keys() & {"rules", "undecided", "message", "mode"}:
            nodes.note(node, "a block that says nothing", "write rules: … below it, or remove it")
    return Block(
        name=read_text(nodes, keys, "name"),
        scope=_scope(nodes, keys["scope"].value) if "scope" in keys else Scope(),
        rules=read_rules(keys["rules"].value) if "rules" in keys else {},
        undecided=nodes.word(keys, "undecided", Decision, None),
        message=read_text(nodes, keys, "message"),
        mode=nodes.word(keys, "mode", Mode, None),
    )


def _scope(nodes: Nodes, node: Node) -> Scope:
    keys = nodes.mapping(node, "a scope", (*_ITEMS, "labels"))
    if node.value == {}:
        nodes.note(node, "an empty scope", "say it in rules, where it holds for everything")
    lists = {key: _list(nodes, key, keys[key].value) for key in _ITEMS if key in keys}
    labels = _labels(nodes, keys["labels"].value) if "labels" in keys else {}
    return Scope(labels=labels, **lists)


def _list(nodes: Nodes, key: str, node: Node) -> tuple[str, ...]:
    if not isinstance(node.value, list) or not 0 < len(node.value) <= MAX_ITEMS:
        wanted = f"a list of 1 to {MAX_ITEMS} items"
        nodes.note(node, f"{key} is not {wanted}", "name what is meant, or leave the key out")
        return ()
    pattern, example = _ITEMS[key]
    found = []
    for item in node.value:
        text = item.value
        good = isinstance(text, str) and pattern.fullmatch(text) and text != ALIAS
        if not good or any("**" in part and part != "**" for part in text.split("/")):
            nodes.note(item, f"{shown(item)} is none of {key}", f"write {example}")
        else:
            found.append(text)
    return tuple(found)


def _labels(nodes: Nodes, node: Node) -> Mapping[str, str]:
    if not isinstance(node.value, dict) or not 0 < len(node.value) <= MAX_ITEMS:
        nodes.note(node, "labels is not a mapping of labels", "write NAME: VALUE below it")
        return {}
    found = {}
    for name, item in node.value.items():
        value = item.value.value
        good = isinstance(value, str) and _LABEL_VALUE.fullmatch(value) and "**" not in value
        if not _LABEL_NAME.fullmatch(name) or not good:
            remedy = "write env: prod, or env: prod-*; a number or true in quotes"
            nodes.note(item.key, f"{name[:60]!r} is no label with a value", remedy)
        else:
            found[name] = value
    return found


def read_gates(nodes: Nodes, node: Node) -> Mapping[str, GatePolicy]:
    """What holds at each gate."""
    return {
        gate: _gate(nodes, gate, item.value)
        for gate, item in nodes.mapping(node, "gates", GATES).items()
    }


def _gate(nodes: Nodes, gate: str, node: Node) -> GatePolicy:
    keys = nodes.mapping(node, f"the gate {gate}", gate_keys(gate))
    calls = None
    if "calls" in keys:
        said = nodes.mapping(keys["calls"].value, f"the calls of {gate}", CALLS)
        calls = {kind: nodes.word(said, kind, Decision, Decision.REFUSE) for kind in said}
    return GatePolicy(
        undecided=nodes.word(keys, "undecided", Decision, None),
        mode=nodes.word(keys, "mode", Mode, None),
        unavailable=nodes.word(keys, "unavailable", Decision, None),
        running=nodes.word(keys, "running", Reaction, None),
        calls=calls,
    )


def gate_keys(gate: str) -> tuple[str, ...]:
    """What can be said about a gate. `cli` stands before nothing: it only tells the verdict."""
    if gate == "cli":
        return ("undecided",)
    always = ("undecided", "mode", "unavailable")
    if gate == "registry":
        return always
    return (*always, "running", "calls") if gate == "docker" else (*always, "running")


def read_text(nodes: Nodes, keys: Mapping[str, Item], key: str) -> str:
    """A text on one line; "" where the key is not there."""
    if key not in keys:
        return ""
    node = keys[key].value
    text = node.value
    if not isinstance(text, str) or not text.strip() or len(text) > MAX_TEXT:
        nodes.note(node, f"{key} is not a text of 1 to {MAX_TEXT} characters", "say it in words")
        return ""
    if not text.strip().isprintable():
        nodes.note(node, f"{key} holds characters that do not print", "write it on one line")
    return text.strip()
