"""A whole world in memory: images are built, read by the real reader, and judged."""

import base64
import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from layerproof.analysis.registry import dispatch
from layerproof.engine.decide import decide
from layerproof.engine.indexer import Indexer
from layerproof.engine.ports import Advisories
from layerproof.engine.trust import add_trust
from layerproof.model.contents import ChainRecord
from layerproof.model.digest import Digest
from layerproof.model.event import Event, EventKind
from layerproof.model.facts import COMMAND_LINE, Context
from layerproof.model.finding import Finding, Status
from layerproof.model.image import Image
from layerproof.model.trust import TrustRecord
from layerproof.model.verdict import Verdict
from layerproof.oci.limits import Limits
from layerproof.policy.defaults import DEFAULT_POLICY
from layerproof.policy.load import load_policy
from layerproof.policy.model import Policy
from layerproof.testing.advisories import nothing_known
from layerproof.testing.images import BuiltImage, File, Node, Symlink
from layerproof.testing.index import MemoryIndex
from layerproof.testing.source import MemorySource
from layerproof.workers import Inline

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
Files = dict[str, Node | bytes | str]
_numbers = count()


class _Clock:
    def now(self) -> datetime:
        return NOW

    def monotonic(self) -> float:
        return 0.0


class _Nobody:
    def resolved(self, image: Image, known: Collection[int]) -> None: ...
    def layer_progress(self, position: int, bytes_read: int) -> None: ...
    def layer_done(self, position: int) -> None: ...


@dataclass
class World:
    """An organisation's index, and what it decides."""

    policy: Policy = DEFAULT_POLICY
    index: MemoryIndex = field(default_factory=MemoryIndex)
    advisories: Advisories | None = field(default_factory=lambda: nothing_known(NOW))

    def read(self, built: BuiltImage, reference: str = "") -> Image:
        """Index an image."""
        reference = reference or f"docker://registry.example/team/app:{next(_numbers)}"
        indexer = Indexer(self.index, Inline(), _Clock(), dispatch(), Limits())
        return indexer.run(MemorySource(built, reference), _Nobody()).image

    def trust(self, built: BuiltImage, reference: str = "", **more: Any) -> TrustRecord:
        """Declare an image trusted."""
        image = self.read(built, reference or "docker://registry.example/base:1")
        defaults: dict[str, Any] = {"by": "alice", "reason": "golden", "now": NOW - timedelta(30)}
        return add_trust(self.index, image, **(defaults | more))

    def push(self, built: BuiltImage, account: str, **more: Any) -> None:
        """A registry reports that somebody pushed the image."""
        defaults: dict[str, Any] = {
            "kind": EventKind.PUSH,
            "at": NOW - timedelta(days=1),
            "registry": "registry.example",
            "repository": "team/app",
            "manifest_digest": Digest(built.manifest_digest),
            "account": account,
        }
        self.index.put_events([Event(f"event {next(_numbers)}", **(defaults | more))])

    def judge(
        self,
        built: BuiltImage,
        *,
        reference: str = "",
        policy: Policy | None = None,
        now: datetime = NOW,
        context: Context = COMMAND_LINE,
    ) -> "Judged":
        """The verdict on an image under a policy."""
        image = self.read(built, reference)
        record = decide(
            self.index, image, policy or self.policy, now, "test", context, self.advisories
        )
        return Judged(record.verdict)

    def chain(self, built: BuiltImage, position: int = -1) -> ChainRecord:
        """What the index keeps of a layer at its place."""
        image = self.read(built)
        (found,) = self.index.chains([image.layers[position].chain_id])
        assert found is not None
        return found


@dataclass(frozen=True)
class Judged:
    """A verdict, and short questions about it."""

    verdict: Verdict

    @property
    def decision(self) -> str:
        return str(self.verdict.decision)

    @property
    def findings(self) -> list[Finding]:
        on_layers = [finding for layer in self.verdict.layers for finding in layer.findings]
        return [*self.verdict.findings, *on_layers]

    def rules(self, *, status: Status = Status.FAIL) -> set[str]:
        """The rules with a finding of this status that counts."""
        return {f.rule for f in self.findings if f.status is status and f.effect != "ignore"}

    def of(self, rule: str) -> list[Finding]:
        return [finding for finding in self.findings if finding.rule == rule]

    def paths(self, rule: str) -> set[object]:
        return {finding.evidence.get("path") for finding in self.of(rule)}


def policy(text: str) -> Policy:
    """From what stands below the head of a policy file."""
    head = b"apiVersion: layerproof/v1\nkind: Policy\n"
    return load_policy(head + text.encode(), where="policy.yaml")


# --- packages ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Deb:
    """A Debian package: `files` by path, with what `dpkg` would write into its database."""

    name: str
    version: str
    files: Mapping[str, bytes | Symlink]
    conffiles: Mapping[str, bytes] = field(default_factory=dict)
    scripts: Mapping[str, bytes] = field(default_factory=dict)
    mode: int = 0o755

    def but(self, **changes: Any) -> "Deb":
        return replace(self, **changes)

    @property
    def stanza(self) -> str:
        lines = [f"Package: {self.name}", "Status: install ok installed", "Architecture: amd64"]
        lines += [f"Version: {self.version}"]
        if self.conffiles:
            lines.append("Conffiles:")
            lines += [f" /{path} {_md5(data)}" for path, data in self.conffiles.items()]
        return "\n".join(lines) + "\n"

    @property
    def database(self) -> Files:
        info = f"var/lib/dpkg/info/{self.name}"
        sums = [f"{_md5(d)}  {p}\n" for p, d in self.files.items() if isinstance(d, bytes)]
        listed = ["/.", *(f"/{path}" for path in (*self.files, *self.conffiles))]
        found: Files = {f"{info}.md5sums": "".join(sums), f"{info}.list": "\n".join(listed) + "\n"}
        for kind, script in self.scripts.items():
            found[f"{info}.{kind}"] = File(script, mode=0o755)
        return found

    @property
    def contents(self) -> Files:
        found: Files = {
            path: File(data, mode=self.mode) if isinstance(data, bytes) else data
            for path, data in self.files.items()
        }
        return found | dict(self.conffiles)


def installed(*packages: Deb, new: Collection[str] | None = None, **files: Any) -> Files:
    """What a layer holds after dpkg: the status of all packages, files and database of those in
    `new` (default: all)."""
    found: Files = {"var/lib/dpkg/status": "\n".join(p.stanza for p in packages)}
    for package in packages:
        if new is None or package.name in new:
            found |= package.database | package.contents
    return found | files


def apk_installed(*packages: tuple[str, str, Mapping[str, bytes]]) -> str:
    """apk's database: name, version, files."""
    blocks = []
    for name, version, files in packages:
        lines = [f"P:{name}", f"V:{version}", "A:x86_64"]
        for path, data in files.items():
            folder, _, file = path.rpartition("/")
            digest = base64.b64encode(hashlib.sha1(data, usedforsecurity=False).digest()).decode()
            lines += [f"F:{folder}", f"R:{file}", "a:0:0:755", f"Z:Q1{digest}"]
        blocks.append("\n".join(lines) + "\n")
    return "\n".join(blocks)


def record(files: Mapping[str, bytes]) -> str:
    """A Python RECORD, of paths relative to site-packages."""
    lines = []
    for path, data in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        lines.append(f"{path},sha256={digest},{len(data)}")
    return "\n".join([*lines, "x.dist-info/RECORD,,"]) + "\n"


def _md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()
