"""The containerd gate: questions as bytes, and a configuration that goes silently round it."""

import asyncio
import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from tests.unit.attacks.world import policy
from tests.unit.gates.docker_world import EVIL, GOOD, GateWorld, reading

from layerproof.errors import IndexUnavailableError
from layerproof.gates.containerd.install import checks, snippet
from layerproof.gates.containerd.verifier import MOST_QUESTION, Verifier, answered
from layerproof.model.gate import Answer
from layerproof.policy.defaults import DEFAULT_POLICY
from layerproof.policy.model import Policy
from layerproof.server.decisions import Decisions, Freshness
from layerproof.server.gating import Gating
from layerproof.server.tallies import Tallies

MEDIA = ("-stdin-media-type", "application/vnd.oci.descriptor.v1+json")


def question(*words: str, descriptor: bytes = b"") -> bytes:
    return b"".join(word.encode() + b"\0" for word in words) + b"\0" + descriptor


def asked(name: str, digest: str, **more: Any) -> bytes:
    descriptor = json.dumps({"mediaType": "x", "digest": digest, "size": 1}).encode()
    return question("-name", name, "-digest", digest, *MEDIA, **{"descriptor": descriptor, **more})


class World(GateWorld):
    def answer(self, data: bytes) -> tuple[bytes, str]:
        """The byte and the reason."""
        said = answered(asyncio.run(self._reviewed(data)))
        return said[:1], said[1:].decode()

    async def _reviewed(self, data: bytes) -> Answer:
        freshness, decisions = Freshness(reading(self.service)), Decisions(self.service, 2)
        tallies = Tallies(self.ledger.add_tallies, self.clock)
        gating = Gating(self.service, freshness, decisions, tallies, kept=self.kept)
        gating.policy()
        try:
            return await Verifier(gating, "node-1", lambda *_: None).review(data)
        finally:
            tallies.close()
            decisions.close()


def world(folder: Path, rules: Policy = DEFAULT_POLICY) -> World:
    return World(folder, rules)


def test_trusted_image_is_admitted_and_another_refused_with_the_reason(tmp_path: Path) -> None:
    gate = world(tmp_path)
    good = gate.answer(asked("registry.example/good:1", GOOD.manifest_digest))
    assert good == (b"0", "Layerproof: admitted\n")
    byte, said = gate.answer(asked("registry.example/evil:1", EVIL.manifest_digest))
    assert byte == b"1"
    assert "layer 1" in said


def test_name_means_nothing_and_the_digest_everything(tmp_path: Path) -> None:
    gate = world(tmp_path)
    assert gate.answer(asked("registry.example/good:1", EVIL.manifest_digest))[0] == b"1"
    assert gate.answer(asked("elsewhere.example/x:9", GOOD.manifest_digest))[0] == b"0"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0\0",
        question("-name", "a"),
        question("-digest", "sha256:short", "-name", "a"),
        question("-name", "a", "-digest", GOOD.manifest_digest, "-digest", EVIL.manifest_digest),
        question("-name", "a", "-digest"),
        question("name", "a", "-digest", GOOD.manifest_digest),
        question("-name", "A B", "-digest", GOOD.manifest_digest),
        question("-name", "a", "-digest", GOOD.manifest_digest, "-stdin-media-type", "x/y"),
        asked("a", GOOD.manifest_digest, descriptor=b"{"),
        asked("a", GOOD.manifest_digest, descriptor=b"[1]"),
        asked("a", GOOD.manifest_digest, descriptor=b'{"digest":"sha256:other"}'),
        asked(
            "a",
            GOOD.manifest_digest,
            descriptor=json.dumps({"digest": GOOD.manifest_digest, "Digest": "x"}).encode(),
        ),
        b"-name\0\xff\0\0",
        b"x" * MOST_QUESTION,
    ],
)
def test_question_that_is_not_clear_is_refused(tmp_path: Path, data: bytes) -> None:
    assert world(tmp_path).answer(data)[0] == b"1"


def test_index_that_is_gone_is_answered_by_the_fail_mode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(_: object) -> str:
        raise IndexUnavailableError("no connection")

    data = asked("a", GOOD.manifest_digest)
    for word, byte in (("refuse", b"1"), ("admit", b"0")):
        gate = world(tmp_path, policy(f"gates: {{containerd: {{unavailable: {word}}}}}\n"))
        with monkeypatch.context() as patched:
            patched.setattr(type(gate.world.index), "state", gone)
            assert gate.answer(data)[0] == byte


# --- ways round it -------------------------------------------------------------------------------

GOOD_CONFIG = """
version = 3
[plugins.'io.containerd.cri.v1.images']
  max_concurrent_downloads = 3
  use_local_image_pull = false
  [plugins.'io.containerd.cri.v1.images'.registry]
    config_path = '/etc/containerd/certs.d'
"""


def failing(folder: Path, text: str, version: str = "2.1.4") -> set[str]:
    config = tomllib.loads(text + snippet(folder))
    return {c.what for c in checks(config, version, folder, "layerproof") if not c.passed}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "bin"
    found.mkdir(mode=0o755)
    (found / "layerproof").write_text("x")
    (found / "layerproof").chmod(0o755)
    return found


def owned_by_root(folder: Path) -> bool:
    return folder.stat().st_uid == 0


def test_configuration_without_ways_round_passes(folder: Path) -> None:
    found = failing(folder, GOOD_CONFIG)
    assert found <= (set() if owned_by_root(folder) else {
        "the verifier is there, and only root can change it"})  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("downloads = 3", "downloads = 5", "max_concurrent_downloads is as it was"),
        ("local_image_pull = false", "local_image_pull = true", "use_local_image_pull is off"),
        ("config_path = ''", "", ""),
        (
            "    config_path = '/etc/containerd/certs.d'",
            "    [plugins.'io.containerd.cri.v1.images'.registry.mirrors.'docker.io']\n"
            "      endpoint = ['https://mirror.example']",
            "no registry.mirrors of CRI",
        ),
        (
            "    config_path = '/etc/containerd/certs.d'",
            "    [plugins.'io.containerd.cri.v1.images'.registry.configs.'r.example'.tls]\n"
            "      insecure_skip_verify = true",
            "no registry.configs of CRI",
        ),
    ],
)
def test_silent_way_round_is_named(folder: Path, old: str, new: str, what: str) -> None:
    if what:
        assert what in failing(folder, GOOD_CONFIG.replace(old, new))


def test_containerd_that_is_too_old_is_named(folder: Path) -> None:
    assert "containerd knows verifiers" in failing(folder, GOOD_CONFIG, "1.6.20")
    assert "Kubernetes' pulls are asked about" in failing(folder, GOOD_CONFIG, "1.7.9")
    assert "Kubernetes' pulls are asked about" in failing(folder, GOOD_CONFIG, "2.0.1")


def test_folder_that_others_may_write_is_named(folder: Path) -> None:
    folder.chmod(0o777)
    assert "the verifier is there, and only root can change it" in failing(folder, GOOD_CONFIG)


def test_verifier_behind_too_many_others_is_named(folder: Path) -> None:
    for number in range(12):
        (folder / f"a{number}").write_text("x")
    assert "the verifier is there, and only root can change it" in failing(folder, GOOD_CONFIG)


def test_plugin_that_is_switched_off_or_looks_elsewhere_is_named(folder: Path) -> None:
    off = "disabled_plugins = ['io.containerd.image-verifier.v1.bindir']\n" + GOOD_CONFIG
    assert "the configuration names the folder" in failing(folder, off)
    config = tomllib.loads(GOOD_CONFIG)
    bad = {c.what for c in checks(config, "2.1.0", folder, "layerproof") if not c.passed}
    assert "the configuration names the folder" in bad
