"""`altered-package-file`: what layers do to package files → findings, through the whole reader."""

from tests.unit.attacks.world import Deb, Files, Judged, World, installed, policy

from layerproof.model.finding import Effect, Severity, Status
from layerproof.testing.images import File, Hardlink, build

RULE = "altered-package-file"
TOOL = Deb("tool", "1.0", {"usr/share/tool/run": b"run"}, conffiles={"etc/tool.conf": b"x=1\n"})
BASE = build([installed(TOOL)])


def judged(files: Files, text: str = "") -> Judged:
    world = World()
    world.trust(BASE)
    found = policy(text) if text else world.policy
    return world.judge(build([files], base=BASE), policy=found)


def test_a_changed_file_is_found_with_what_was_expected() -> None:
    (finding,) = judged({"usr/share/tool/run": "other"}).of(RULE)
    assert (finding.status, finding.severity, finding.position) == (Status.FAIL, Severity.HIGH, 1)
    assert finding.evidence["path"] == "/usr/share/tool/run"
    assert finding.evidence["package"] == "tool"
    assert str(finding.evidence["expected"]).startswith("md5:")


def test_nothing_is_said_about_files_that_are_as_their_package_says() -> None:
    assert judged({"usr/share/tool/run": "run", "usr/share/tool/more": "x"}).of(RULE) == []


def test_edited_configuration_is_ignored_unless_the_policy_says_otherwise() -> None:
    edit: Files = {"etc/tool.conf": "x=2\n"}
    assert judged(edit).of(RULE) == []
    (finding,) = judged(edit, "rules: {altered-package-file: {configFiles: alert}}").of(RULE)
    assert (finding.effect, finding.severity) == (Effect.ALERT, Severity.LOW)


def test_an_exception_frees_its_paths_only() -> None:
    text = "rules: {altered-package-file: {except: [/usr/share/tool/r*]}}"
    assert judged({"usr/share/tool/run": "other"}, text).of(RULE) == []
    other = "rules: {altered-package-file: {except: [/usr/share/tool/x*]}}"
    assert len(judged({"usr/share/tool/run": "other"}, other).of(RULE)) == 1


def test_what_cannot_be_compared_is_unknown() -> None:
    files: Files = {"srv/x": "other", "usr/share/tool/run": Hardlink("srv/x")}
    (finding,) = judged(files).of(RULE)
    assert (finding.status, finding.evidence["total"]) == (Status.UNKNOWN, 1)


def test_a_flood_is_summed_up_and_nothing_is_lost() -> None:
    many = {f"usr/share/many/{n:03}": b"x" for n in range(80)}
    base = build([installed(Deb("many", "1", many))])
    world = World()
    world.trust(base)
    bad: Files = {path: File(b"y") for path in many}
    findings = world.judge(build([bad], base=base)).of(RULE)
    assert len(findings) == 51
    assert [f.evidence["total"] for f in findings if "total" in f.evidence] == [30]


def test_the_base_is_not_judged() -> None:
    world = World()
    bad = build([installed(TOOL) | {"usr/share/tool/run": "other"}])
    world.trust(bad)
    assert world.judge(bad).of(RULE) == []
