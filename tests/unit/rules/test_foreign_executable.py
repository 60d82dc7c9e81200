"""`foreign-executable`: executables without a package → findings, through the whole reader."""

import pytest
from tests.unit.attacks.world import Deb, Files, Judged, World, installed, policy

from layerproof.model.finding import Effect, Severity
from layerproof.testing.images import File, build

RULE = "foreign-executable"
BASE = build([installed(Deb("tool", "1.0", {"usr/bin/tool": b"tool"}))])
SCRIPT = File(b"#!/bin/sh\n", mode=0o755)


def judged(files: Files, text: str = "") -> Judged:
    world = World()
    world.trust(BASE)
    found = policy(text) if text else world.policy
    return world.judge(build([files], base=BASE), policy=found)


@pytest.mark.parametrize("path", ["usr/bin/x", "etc/cron.d/x", "tmp/x", "root/x", "var/lib/x"])
def test_a_script_outside_the_places_of_applications_is_found(path: str) -> None:
    (finding,) = judged({path: SCRIPT}).of(RULE)
    assert (finding.effect, finding.severity) == (Effect.REFUSE, Severity.MEDIUM)
    assert finding.evidence["path"] == f"/{path}"


@pytest.mark.parametrize("path", ["app/x", "srv/a/b", "usr/local/lib/x", "entrypoint.sh", "opt/x"])
def test_applications_may_have_executables(path: str) -> None:
    assert judged({path: SCRIPT}).of(RULE) == []


def test_a_plain_file_with_an_execute_bit_is_an_alert_at_most() -> None:
    (finding,) = judged({"etc/hostname": File(b"host\n", mode=0o755)}).of(RULE)
    assert (finding.effect, finding.severity) == (Effect.ALERT, Severity.LOW)


def test_the_list_of_places_can_be_extended_and_emptied() -> None:
    more = "rules: {foreign-executable: {extraPaths: [/usr/lib/mine/**]}}"
    assert judged({"usr/lib/mine/x": SCRIPT}, more).of(RULE) == []
    none = "rules: {foreign-executable: {paths: []}}"
    assert judged({"app/x": SCRIPT}, none).paths(RULE) == {"/app/x"}


def test_a_package_owns_what_it_lists() -> None:
    new = Deb("new", "1", {"usr/bin/new": b"\x7fELF" + bytes(60)})
    assert judged(installed(new)).of(RULE) == []


def test_a_flood_is_summed_up_and_nothing_is_lost() -> None:
    findings = judged({f"usr/lib/x/{n:03}": SCRIPT for n in range(70)}).of(RULE)
    assert len(findings) == 51
    assert [f.evidence["total"] for f in findings if "total" in f.evidence] == [20]
