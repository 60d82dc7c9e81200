"""Scripts that run by themselves, by their text."""

import json
from hashlib import sha256

import pytest
from tests.unit.analysis.layers import SYMLINK, add, reasons, run

from layerproof.analysis.interface import Facts
from layerproof.model.entry import EntryTable
from layerproof.testing.images import compress, tar

INFO = b"var/lib/dpkg/info/"


def table(*files: tuple[bytes, bytes]) -> EntryTable:
    entries = EntryTable()
    for path, data in files:
        index = add(entries, path)
        entries.digests[32 * index :] = sha256(data).digest()
    return entries


def found(facts: Facts) -> set[tuple[str, str, bytes]]:
    return {(s.package, s.kind, s.path) for s in facts.scripts}


def hooks(scripts: object, files: dict[bytes, bytes] | None = None) -> Facts:
    path = b"app/node_modules/a/package.json"
    data = json.dumps({"name": "a", "version": "1", "scripts": scripts}).encode()
    rest = {b"app/node_modules/a/" + name: text for name, text in (files or {}).items()}
    return run("scripts", {path: data}, table((path, data), *rest.items()))


def test_maintainer_scripts_by_their_contents() -> None:
    path = INFO + b"bash:amd64.postinst"
    facts = run("scripts", {}, table((path, b"#!/bin/sh\n"), (INFO + b"bash.list", b"")))
    (script,) = facts.scripts
    assert (script.package, script.kind, script.path) == ("bash:amd64", "postinst", path)
    assert script.sha256 == sha256(b"#!/bin/sh\n").digest()


def test_a_script_that_is_a_link_is_one_by_what_it_names() -> None:
    def digest(target: bytes) -> bytes:
        entries = EntryTable()
        add(entries, INFO + b"a.postinst", SYMLINK, link=target)
        add(entries, b"usr/lib/python3/dist-packages/x.pth", SYMLINK, link=target)
        postinst, pth = sorted(run("scripts", {}, entries).scripts, key=lambda s: s.kind)
        assert (postinst.kind, pth.kind) == ("postinst", "pth")
        return postinst.sha256

    assert digest(b"/srv/x") != digest(b"/srv/y")


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_apk_scripts_by_package_and_kind(compression: str) -> None:
    name = "musl-1.2.5-r0.Q1abc=.post-upgrade"
    data = compress(tar({name: "#!/bin/sh\n"}), compression)  # type: ignore[arg-type]
    facts = run("scripts", {b"lib/apk/db/scripts.tar": data})
    (script,) = facts.scripts
    assert (script.package, script.kind) == ("musl", "post-upgrade")
    assert script.sha256 == sha256(b"#!/bin/sh\n").digest()


@pytest.mark.parametrize(
    "data", [b"", b"no tar" * 200, b"\x1f\x8b\x08broken", tar({"a": "b"})[:512]]
)
def test_a_broken_archive_of_apk_scripts_is_reported(data: bytes) -> None:
    facts = run("scripts", {b"lib/apk/db/scripts.tar": data})
    assert facts.scripts == ()
    assert not data or "not a readable archive" in reasons(facts)


def test_npm_hooks_that_run_at_installation() -> None:
    facts = hooks(
        {"preinstall": "a", "install": "b", "postinstall": "c", "test": "d", "prepare": "e"}
    )
    assert {kind for _, kind, _ in found(facts)} == {
        "npm:preinstall",
        "npm:install",
        "npm:postinstall",
    }


def test_an_npm_hook_is_another_when_the_file_that_it_runs_is() -> None:
    def digest(files: dict[bytes, bytes]) -> bytes:
        (script,) = hooks({"postinstall": "node ./install.js"}, files).scripts
        return script.sha256

    assert digest({b"install.js": b"1"}) == digest({b"install.js": b"1", b"other.js": b"3"})
    assert digest({b"install.js": b"1"}) != digest({b"install.js": b"2"})
    assert digest({b"install.js": b"1"}) != digest({})


@pytest.mark.parametrize(
    "scripts", [None, [], "x", {"postinstall": 1}, {"postinstall": " "}, {"Postinstall": "x"}]
)
def test_odd_npm_hooks_are_none(scripts: object) -> None:
    assert hooks(scripts).scripts == ()


def test_a_json_bomb_is_no_hook() -> None:
    data = b'{"postinstall": ' + b"[" * 100_000
    assert run("scripts", {b"a/package.json": data}).scripts == ()


def test_pth_files_that_run_code() -> None:
    site = b"usr/lib/python3/dist-packages/"
    files = {
        site + b"evil.pth": b"/srv\nimport os; os.system('x')\n",
        site + b"plain.pth": b"/srv\n# import nothing\n",
        site + b"sitecustomize.py": b"",
    }
    facts = run("scripts", files, table(*files.items()))
    assert found(facts) == {
        ("evil", "pth", site + b"evil.pth"),
        ("sitecustomize", "customize", site + b"sitecustomize.py"),
    }
