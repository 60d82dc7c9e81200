"""An operator's own cases for a policy: images as they are described, and what is to be decided.

A case is built, read and judged like any image: by the real reader, in memory. So it says what the
policy does, not what somebody thinks that it does. `docs/reference/policy.md` describes the file.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from layerproof.analysis.registry import dispatch
from layerproof.engine.decide import decide
from layerproof.engine.indexer import Indexer
from layerproof.engine.trust import add_trust
from layerproof.errors import LayerproofError
from layerproof.model.event import Event, EventKind
from layerproof.model.facts import Context
from layerproof.model.finding import Effect, Finding
from layerproof.model.image import Image
from layerproof.model.record import VerdictRecord
from layerproof.model.reference import parse_reference
from layerproof.model.verdict import Decision, Trust
from layerproof.oci.limits import Limits
from layerproof.policy.document import (
    DocumentError,
    Item,
    Node,
    Number,
    Problem,
    parse_document,
    policy_error,
)
from layerproof.policy.load import API_VERSION
from layerproof.policy.model import Policy
from layerproof.policy.nodes import Nodes, one_of, shown
from layerproof.rules.registry import RULES
from layerproof.testing.advisories import nothing_known
from layerproof.testing.images import (
    BuiltImage,
    BuiltLayer,
    File,
    Opaque,
    Symlink,
    Whiteout,
    build,
    layer,
)
from layerproof.testing.index import MemoryIndex
from layerproof.testing.source import MemorySource

KIND = "PolicyTest"
MAX_CASES = 1_000
_IMAGE = ("reference", "layers", "user", "env", "labels", "entrypoint", "cmd", "pushedBy")
_CASE = ("name", "base", "image", "context", "now", "expect")
_BASE = "docker://registry.example/base:test"
_APP = "docker://registry.example/app:test"


@dataclass(frozen=True, slots=True)
class Expected:
    """What a case says; None and empty are not compared."""

    decision: Decision | None = None
    verdict: Trust | None = None
    rules: tuple[str, ...] = ()  # each has a finding that counts
    not_rules: tuple[str, ...] = ()  # none of them has


@dataclass(frozen=True, slots=True)
class Case:
    """One image, and what is expected of the policy."""

    name: str
    base: BuiltImage | None
    base_reference: str
    image: BuiltImage
    reference: str
    pushed_by: tuple[tuple[str, str], ...]  # registry, account
    context: Context
    now: datetime
    expected: Expected


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a policy decided, and how that differs from what was expected."""

    case: Case
    record: VerdictRecord | None  # None: the image is refused before any rule, see `problems`
    problems: tuple[str, ...]


def run_case(case: Case, policy: Policy) -> Outcome:
    """Build, read and judge the image of a case."""
    index = MemoryIndex()
    try:
        if case.base is not None:
            base = _read(index, case.base, case.base_reference, case.now)
            earlier = case.now - timedelta(days=1)
            add_trust(index, base, by="test", reason="the case's base", now=earlier)
        image = _read(index, case.image, case.reference, case.now)
        index.put_events(
            [
                Event(
                    f"event {number}",
                    EventKind.PUSH,
                    case.now,
                    registry=registry,
                    manifest_digest=image.manifest_digest,
                    account=account,
                )
                for number, (registry, account) in enumerate(case.pushed_by)
            ]
        )
        record = decide(
            index, image, policy, case.now, "test", case.context, nothing_known(case.now)
        )
    except LayerproofError as error:
        return Outcome(case, None, (f"the image cannot be read: {error}",))
    return Outcome(case, record, tuple(_differences(case.expected, record)))


def _read(index: MemoryIndex, built: BuiltImage, reference: str, now: datetime) -> Image:
    indexer = Indexer(index, _Alone(), _Still(now), dispatch(), Limits())
    return indexer.run(MemorySource(built, reference), _Nobody()).image


def _differences(expected: Expected, record: VerdictRecord) -> Iterator[str]:
    verdict = record.verdict
    for what, wanted, got in (
        ("decision", expected.decision, verdict.decision),
        ("verdict", expected.verdict, verdict.verdict),
    ):
        if wanted is not None and wanted != got:
            yield f"the {what} is {got}, expected was {wanted}"
    counting = _counting(record)
    for rule in expected.rules:
        if rule not in counting:
            yield f"the rule {rule} has no finding that counts"
    for rule in expected.not_rules:
        if rule in counting:
            yield f"the rule {rule} has a finding: {counting[rule].message}"


def _counting(record: VerdictRecord) -> dict[str, Finding]:
    verdict = record.verdict
    every = [*verdict.findings, *(f for la in verdict.layers for f in la.findings)]
    return {finding.rule: finding for finding in every if finding.effect is not Effect.IGNORE}


@dataclass(frozen=True, slots=True)
class _Still:
    """A clock that stands still."""

    at: datetime

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return 0.0


class _Alone:
    """One layer after the other."""

    count = 1

    def run(
        self,
        jobs: Sequence[int],
        work: Callable[[int, Callable[[int, int], None]], None],
        report: Callable[[int, int], None],
    ) -> None:
        for job in jobs:
            work(job, report)


class _Nobody:
    def resolved(self, image: Image, known: Collection[int]) -> None:
        pass

    def layer_progress(self, position: int, bytes_read: int) -> None:
        pass

    def layer_done(self, position: int) -> None:
        pass


# --- the file ------------------------------------------------------------------------------------


def load_cases(text: bytes, *, where: str, now: datetime) -> tuple[str, tuple[Case, ...]]:
    """The policy file that the cases are for ("" for none), and the cases; `now` where a case does
    not say when. Raises PolicyError with every problem."""
    problems: list[Problem] = []
    try:
        root = parse_document(text, problems)
    except DocumentError as error:
        raise policy_error([*problems, error.problem], where) from error
    reader = _Reader(problems, now)
    policy, cases = reader.file(root)
    if problems:
        raise policy_error(problems, where)
    return policy, cases


class _Reader(Nodes):
    def __init__(self, problems: list[Problem], now: datetime) -> None:
        super().__init__(problems)
        self._now = now

    def file(self, root: Node) -> tuple[str, tuple[Case, ...]]:
        keys = self.mapping(root, "a test of a policy", ("apiVersion", "kind", "policy", "cases"))
        for key, wanted in (("apiVersion", API_VERSION), ("kind", KIND)):
            if key not in keys:
                self.note(root, f"{key} is missing", f"write {key}: {wanted}")
            elif keys[key].value.value != wanted:
                self.note(keys[key].value, f"{key} is not {wanted}", f"write {key}: {wanted}")
        cases = keys["cases"].value if "cases" in keys else Node(None, root.place)
        if not isinstance(cases.value, list) or not 0 < len(cases.value) <= MAX_CASES:
            self.note(cases, f"cases is not a list of 1 to {MAX_CASES}", "write - name: … below it")
            return "", ()
        found = tuple(self._case(node) for node in cases.value)
        return self._text(keys, "policy"), found

    def _case(self, node: Node) -> Case:
        keys = self.mapping(node, "a case", _CASE)
        for key in ("name", "image", "expect"):
            if key not in keys and isinstance(node.value, dict):
                self.note(node, f"a case without {key}", "name, image and expect are needed")
        base, base_reference = None, _BASE
        if "base" in keys:
            base, base_reference, _ = self._image(keys["base"].value, None, _BASE)
        described = keys["image"].value if "image" in keys else Node({}, node.place)
        image, reference, pushed_by = self._image(described, base, _APP)
        return Case(
            name=self._text(keys, "name"),
            base=base,
            base_reference=base_reference,
            image=image,
            reference=reference,
            pushed_by=pushed_by,
            context=self._context(keys),
            now=self._when(keys),
            expected=self._expected(keys),
        )

    def _image(
        self, node: Node, base: BuiltImage | None, reference: str
    ) -> tuple[BuiltImage, str, tuple[tuple[str, str], ...]]:
        keys = self.mapping(node, "an image", _IMAGE)
        layers = self._list(keys, "layers")
        named = self._text(keys, "reference") or reference
        try:
            named = str(parse_reference(named))
        except LayerproofError as error:
            self.note(node, error.message, error.remedy)
        built = build(
            [self._layer(item) for item in layers],
            base=base,
            env=self._texts(keys, "env"),
            labels=self._pairs(keys, "labels"),
            entrypoint=self._texts(keys, "entrypoint") or None,
            cmd=self._texts(keys, "cmd") or None,
            user=self._text(keys, "user"),
        )
        pushed = []
        for item in self._list(keys, "pushedBy"):
            said = self.mapping(item, "a pusher", ("registry", "account"))
            pushed.append((self._text(said, "registry"), self._text(said, "account")))
        return built, named, tuple(pushed)

    def _layer(self, node: Node) -> BuiltLayer:
        keys = self.mapping(node, "a layer", ("files", "createdBy"))
        tree: dict[str, Any] = {}
        if "files" in keys:
            files = keys["files"].value
            if isinstance(files.value, dict):
                for path, item in files.value.items():
                    tree[path.lstrip("/")] = self._file(item.value)
            else:
                self.note(files, f"{shown(files)} is not a mapping", "write /path: contents")
        return layer(tree, created_by=self._text(keys, "createdBy") or "RUN test")

    def _file(self, node: Node) -> object:
        if isinstance(node.value, str):
            return File(node.value.encode())
        keys = self.mapping(
            node, "a file", ("contents", "mode", "uid", "gid", "link", "deleted", "opaque")
        )
        if "link" in keys:
            return Symlink(self._text(keys, "link"))
        if self._flag(keys, "deleted"):
            return Whiteout()
        if self._flag(keys, "opaque"):
            return Opaque()
        return File(
            self._text(keys, "contents").encode(),
            mode=self._number(keys, "mode", 0o644, octal=True),
            uid=self._number(keys, "uid", 0),
            gid=self._number(keys, "gid", 0),
        )

    def _context(self, keys: Mapping[str, Item]) -> Context:
        if "context" not in keys:
            return Context()
        said = self.mapping(
            keys["context"].value, "a context", ("gate", "namespace", "host", "labels")
        )
        return Context(
            gate=self._text(said, "gate") or "cli",
            namespace=self._text(said, "namespace") or None,
            host=self._text(said, "host") or None,
            labels=self._pairs(said, "labels") or None,
        )

    def _expected(self, keys: Mapping[str, Item]) -> Expected:
        if "expect" not in keys:
            return Expected()
        node = keys["expect"].value
        said = self.mapping(node, "expect", ("decision", "verdict", "rules", "notRules"))
        if not said:
            self.note(node, "nothing is expected", "write decision: admit, alert or refuse")
        known = tuple(rule.id for rule in RULES)
        for key in ("rules", "notRules"):
            for item in self._list(said, key):
                self.checked(item, item.value in known, one_of(known))
        return Expected(
            decision=self.word(said, "decision", Decision, None),
            verdict=self.word(said, "verdict", Trust, None),
            rules=self._texts(said, "rules"),
            not_rules=self._texts(said, "notRules"),
        )

    def _when(self, keys: Mapping[str, Item]) -> datetime:
        text = self._text(keys, "now")
        if not text:
            return self._now
        try:
            found = datetime.fromisoformat(text)
        except ValueError:
            self.note(keys["now"].value, f"{text!r} is not a time", "write 2027-01-31T12:00")
            return self._now
        return found.replace(tzinfo=found.tzinfo or UTC).astimezone(UTC)

    # --- small values ---

    def _text(self, keys: Mapping[str, Item], key: str) -> str:
        if key not in keys:
            return ""
        node = keys[key].value
        text = node.value.text if isinstance(node.value, Number) else node.value
        return text if isinstance(text, str) else str(self.checked(node, False, "a text"))

    def _list(self, keys: Mapping[str, Item], key: str) -> list[Node]:
        if key not in keys:
            return []
        node = keys[key].value
        if not isinstance(node.value, list):
            self.note(node, f"{shown(node)} is not a list", f"write a list below {key}")
            return []
        return node.value

    def _texts(self, keys: Mapping[str, Item], key: str) -> tuple[str, ...]:
        items = self._list(keys, key)
        for item in items:
            self.checked(item, isinstance(item.value, str), "a text")
        return tuple(item.value for item in items if isinstance(item.value, str))

    def _pairs(self, keys: Mapping[str, Item], key: str) -> dict[str, str]:
        if key not in keys:
            return {}
        node = keys[key].value
        if not isinstance(node.value, dict):
            self.note(node, f"{shown(node)} is not a mapping", "write name: value")
            return {}
        return {name: self._text(node.value, name) for name in node.value}

    def _flag(self, keys: Mapping[str, Item], key: str) -> bool:
        if key not in keys:
            return False
        node = keys[key].value
        return self.checked(node, isinstance(node.value, bool), "true or false") is True

    def _number(
        self, keys: Mapping[str, Item], key: str, default: int, *, octal: bool = False
    ) -> int:
        text = self._text(keys, key)
        try:
            return int(text, 8 if octal else 10) if text else default
        except ValueError:
            wanted = "an octal mode such as 0755" if octal else "a whole number"
            self.checked(keys[key].value, False, wanted)
            return default
