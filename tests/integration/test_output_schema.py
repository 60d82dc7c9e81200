"""Every command's JSON is what the published schema says."""

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import click
import jsonschema
import pytest

from layerproof.cli.main import cli, run
from layerproof.config import settings
from layerproof.model.job import Wanted
from layerproof.policy.json_schema import policy_schema
from layerproof.report.output_schema import output_schema
from layerproof.report.upkeep import serving_document
from layerproof.testing.images import File, Whiteout, build, write_oci_layout
from layerproof.wiring import open_stores

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
EVENT = {
    "events": [
        {
            "id": "1",
            "timestamp": "2026-03-09T14:44:26Z",
            "action": "push",
            "target": {
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "digest": "sha256:" + "ab" * 32,
                "repository": "team/app",
            },
            "request": {"host": "registry.example"},
            "actor": {"name": "alice"},
        }
    ]
}
OSV = {
    "id": "CVE-2026-1000",
    "modified": "2026-03-09T14:44:26Z",
    "affected": [
        {
            "package": {"ecosystem": "Debian:12", "name": "bash"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}]}],
        }
    ],
}
VEX = {
    "@context": "https://openvex.dev/ns/v0.2.0",
    "@id": "https://example.com/1",
    "author": "us",
    "statements": [
        {
            "vulnerability": {"name": "CVE-2026-1000"},
            "products": [{"@id": "pkg:deb/debian/bash"}],
            "status": "not_affected",
            "justification": "component_not_present",
        }
    ],
}
COMMANDS: dict[str, tuple[list[str], int, int]] = {  # command line, exit code, documents at least
    "index": (["index", "oci:i:base", "oci:i:bad"], 0, 2),
    "show": (["show", "oci:i:bad"], 0, 1),
    "diff": (["diff", "oci:i:bad"], 0, 1),
    "diff of two": (["diff", "oci:i:base", "oci:i:bad"], 0, 1),
    "find": (["find", "path", "/etc/shadow"], 0, 1),
    "find package": (["find", "package", "bash"], 0, 1),
    "trust add": (["trust", "add", "oci:i:base", "-r", "golden", "--expires", "9d"], 0, 1),
    "trust list": (["trust", "list"], 0, 1),
    "advisories status of none": (["advisories", "status"], 0, 1),
    "advisories import": (["advisories", "import", "osv.json", "vex.json"], 0, 2),
    "advisories status": (["advisories", "status"], 0, 1),
    "vulnerabilities": (["vulnerabilities", "oci:i:bad"], 0, 1),
    "check": (["check", "oci:i:base", "oci:i:bad", "--label", "a=b"], 1, 2),
    "verdicts": (["verdicts"], 0, 2),
    "explain": (["explain", "oci:i:bad"], 0, 1),
    "pull": (["pull", "oci:i:bad"], 0, 1),
    "withdrawals": (["withdrawals"], 0, 1),
    "check withdrawn": (["check", "oci:i:bad"], 1, 1),
    "explain withdrawn": (["explain", "oci:i:bad", "1"], 0, 1),
    "events import": (["events", "import", "events.json"], 0, 1),
    "events list": (["events", "list"], 0, 1),
    "policy validate": (["policy", "validate", "policy.yaml"], 0, 1),
    "policy test": (["policy", "test", "test.yaml"], 0, 1),
    "trust revoke": (["trust", "revoke", "oci:i:base", "-r", "old"], 0, 1),
    "find file": (["find", "file", "policy.yaml"], 1, 0),
    "index export": (["index", "export", "--with-word", "moved.db"], 0, 1),
    "index import": (["index", "import", "--with-word", "moved.db"], 0, 1),
    "index backup": (["index", "backup", "backup.db"], 0, 1),
    "index migrate": (["index", "migrate"], 0, 1),
    "index prune": (["index", "prune", "--verdicts", "90"], 0, 1),
    "token create": (["token", "create", "--name", "ci", "--role", "viewer"], 0, 1),
    "token list": (["token", "list"], 0, 1),
    "token rotate": (["token", "rotate", "ID-OF-TOKEN"], 0, 1),
    "token revoke": (["token", "revoke", "ID-OF-TOKEN"], 0, 1),
    "gate docker status": (["gate", "docker", "status"], 1, 1),
    "gate containerd status": (["gate", "containerd", "status"], 1, 1),
    "gate report": (["gate", "report"], 0, 0),
    "learn status": (["learn", "status"], 0, 1),
    "learn suggestions": (["learn", "suggestions"], 0, 0),
    "jobs list": (["jobs", "list"], 0, 1),
    "jobs cancel": (["jobs", "cancel", "1"], 0, 1),
}
# What prints something else, or never ends; each with its reason.
NOT_HERE = {
    "advisories update": "downloads; prints what advisories import prints",
    "advisories remove": "prints nothing for programs",
    "demo": "tells people a story",
    "gate containerd install": "changes the host",
    "gate containerd serve": "runs until it is ended",
    "gate containerd uninstall": "changes the host",
    "gate docker install": "changes the host",
    "gate docker serve": "runs until it is ended",
    "gate docker uninstall": "changes the host",
    "gate kubernetes certificates": "writes files",
    "gate kubernetes install": "prints manifests",
    "gate kubernetes serve": "runs until it is ended",
    "gate kubernetes status": "needs a cluster; its document is that of the other gates",
    "gate kubernetes uninstall": "prints nothing for programs",
    "gate registry serve": "runs until it is ended",
    "index images": "is index",
    **{
        f"learn {name}": "needs a history to learn from: test_learn_command"
        for name in (
            "approve",
            "dismiss",
            "evaluate",
            "explain",
            "export",
            "import",
            "promote",
            "refresh",
            "rollback",
            "train",
        )
    },
    "policy init": "writes a file",
    "policy schema": "prints the schema of policies",
    "sbom": "prints CycloneDX or SPDX, held to their own schemas",
    "serve": "runs until it is ended; its document is held below",
    "watch containerd": "needs a containerd: test_watch",
    "watch docker": "needs an engine: test_watch",
    "watch kubernetes": "needs a cluster; its document is that of the other runtimes",
    "worker": "prints nothing",
}
ERRORS = {
    "no image": ["check", "oci:gone"],
    "no command": ["nope"],
    "bad policy": ["policy", "validate", "test.yaml"],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("output")
    status = "Package: bash\nStatus: install ok installed\nVersion: 1\nArchitecture: amd64\n"
    release = "ID=debian\nVERSION_ID=12\n"
    system = {"etc/shadow": "root:!:\n", "var/lib/dpkg/status": status, "etc/os-release": release}
    base = build([system])
    bad = build([{"etc/shadow": Whiteout(), "bin/x": File(b"#!/bin/sh\n", mode=0o755)}], base=base)
    write_oci_layout(folder / "i", {"base": base, "bad": bad})
    (folder / "osv.json").write_text(json.dumps(OSV))
    (folder / "vex.json").write_text(json.dumps(VEX))
    (folder / "events.json").write_text(json.dumps(EVENT))
    (folder / "policy.yaml").write_text("apiVersion: layerproof/v1\nkind: Policy\n")
    (folder / "test.yaml").write_text(
        "apiVersion: layerproof/v1\nkind: PolicyTest\npolicy: policy.yaml\n"
        "cases: [{name: a, image: {layers: [{files: {/a: b}}]}, expect: {decision: refuse}}]\n"
    )
    return folder


@pytest.fixture(autouse=True)
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("LAYERPROOF_INDEX", str(folder / "index.db"))


def valid(text: str) -> list[dict[str, Any]]:
    documents = [json.loads(line) for line in text.splitlines()]
    schema = output_schema()
    for document in documents:
        one = {**schema, "oneOf": [{"$ref": f"#/$defs/{document['kind']}"}]}
        jsonschema.Draft202012Validator(one).validate(document)  # the schema is checked below
    return documents


def test_output_is_what_the_schema_says(capsys: pytest.CaptureFixture[str]) -> None:
    """In this order: each command finds what those before it left."""
    queue_a_job()
    token = ""
    for name, (command, code, least) in COMMANDS.items():
        words = [token if word == "ID-OF-TOKEN" else word for word in command]
        assert run([*words, "--output", "json"]) == code, name
        documents = valid(capsys.readouterr().out)
        assert len(documents) >= least, name
        if name == "token list":
            token = documents[0]["id"]


@pytest.mark.parametrize("token_file", [None, "/var/lib/layerproof/admin-token"])
def test_what_serve_prints_is_what_the_schema_says(token_file: str | None) -> None:
    valid(json.dumps(serving_document("http://127.0.0.1:8686/api/v1", token_file)))


def queue_a_job() -> None:
    with closing(open_stores(settings())) as stores:
        assert stores.queue.put([Wanted("index docker://a/b:1", "b", "index")]) == 1


def commands(group: click.Group, name: str = "") -> Iterator[str]:
    context = click.Context(group)
    for sub in group.list_commands(context):
        found = group.get_command(context, sub)
        assert found is not None
        if isinstance(found, click.Group):
            yield from commands(found, f"{name}{sub} ")
        else:
            yield name + sub


def test_every_command_is_held_to_the_schema() -> None:
    held = {" ".join(words) for words, _, _ in COMMANDS.values()}
    missing = [
        name
        for name in commands(cli)
        if name not in NOT_HERE and not any(f"{line} ".startswith(f"{name} ") for line in held)
    ]
    assert missing == []
    assert set(NOT_HERE) <= set(commands(cli))


@pytest.mark.parametrize("name", ERRORS)
def test_errors_are_what_the_schema_says(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*ERRORS[name], "--output", "json"]) in (2, 3)
    (document,) = valid(capsys.readouterr().err)
    assert document["kind"] == "Error"


def test_the_schema_is_a_schema_and_has_no_kind_that_nothing_prints() -> None:
    jsonschema.Draft202012Validator.check_schema(output_schema())
    source = "".join(p.read_text() for p in Path("/").joinpath(*REFERENCE.parts[1:-2]).glob(
        "src/layerproof/report/*.py"))  # fmt: skip
    for option in output_schema()["oneOf"]:
        kind = option["$ref"].rpartition("/")[2]
        assert f'"kind": "{kind}"' in source


@pytest.mark.parametrize(
    ("name", "made"),
    [("policy.schema.json", policy_schema), ("output.schema.json", output_schema)],
)
def test_the_published_schemas_are_today_s(name: str, made: Any) -> None:
    """Else run: python scripts/schemas.py"""
    assert json.loads((REFERENCE / name).read_text(encoding="utf-8")) == made()
