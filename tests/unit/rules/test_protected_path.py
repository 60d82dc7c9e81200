"""`protected-path`: attack → outcome."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from tests.unit.rules.facts_builder import (
    a_file,
    a_folder,
    a_symlink,
    added,
    deleted,
    identical,
    make_facts,
    make_image,
    re_moded,
    redirected,
    replaced,
    shadowed,
)

from layerproof.model.change import Change, ChangeKind, ChangeSet
from layerproof.model.entry import BLOCK, HARDLINK, Entry
from layerproof.model.facts import LayerFacts
from layerproof.model.finding import Finding, Severity, Status
from layerproof.model.verdict import Base
from layerproof.policy.defaults import DEFAULT_POLICY
from layerproof.rules.protected_path import (
    MAX_EXAMPLES,
    MAX_FINDINGS,
    ProtectedPath,
    ProtectedPathSettings,
)

RULE = ProtectedPath()
SETTINGS = DEFAULT_POLICY.of(RULE).settings
assert isinstance(SETTINGS, ProtectedPathSettings)


def judge(*changes: Change, settings: ProtectedPathSettings = SETTINGS) -> tuple[Finding, ...]:
    """What the rule says about a second layer that makes these changes."""
    facts = make_facts(make_image("base", "app"), changes={1: changes})
    return RULE.check(facts, settings)


def the_one(*changes: Change, settings: ProtectedPathSettings = SETTINGS) -> Finding:
    findings = judge(*changes, settings=settings)
    assert len(findings) == 1, findings
    assert findings[0].position == 1
    assert findings[0].status is Status.FAIL
    return findings[0]


# --- what must be found ------------------------------------------------------------------------


def test_whiteout_of_shadow_file_is_refused() -> None:
    finding = the_one(deleted("etc/shadow"))
    assert finding.message == "deletes /etc/shadow (whiteout /etc/.wh.shadow)"
    assert finding.severity is Severity.HIGH


def test_replaced_login_program_is_refused_with_both_hashes() -> None:
    finding = the_one(replaced(a_file("bin/login", "old"), a_file("bin/login", "new")))
    assert finding.message.startswith("replaces /bin/login: ")
    before, after = finding.evidence["before"], finding.evidence["after"]
    assert isinstance(before, dict)
    assert isinstance(after, dict)
    assert before["sha256"] != after["sha256"]
    assert before["sha256"][:12] in finding.message
    assert after["sha256"][:12] in finding.message


def test_program_made_setuid_root_is_refused() -> None:
    finding = the_one(
        re_moded(a_file("usr/bin/find", mode=0o755), a_file("usr/bin/find", mode=0o4755))
    )
    assert finding.message == "makes /usr/bin/find setuid root (mode 0755 → 4755)"


def test_world_writable_passwd_is_refused() -> None:
    finding = the_one(re_moded(a_file("etc/passwd"), a_file("etc/passwd", mode=0o666)))
    assert finding.message == "changes /etc/passwd: mode 0644 → 0666"


def test_protected_file_given_to_another_owner_is_refused() -> None:
    finding = the_one(re_moded(a_file("etc/sudoers"), a_file("etc/sudoers", uid=1000)))
    assert finding.message == "changes /etc/sudoers: owner 0:0 → 1000:0"


def test_world_writable_root_folder_is_refused() -> None:
    assert the_one(re_moded(a_folder(""), a_folder("", 0o777))).message == (
        "changes /: mode 0755 → 0777"
    )


def test_program_turned_into_a_symlink_is_refused() -> None:
    finding = the_one(replaced(a_file("usr/bin/ssh"), a_symlink("usr/bin/ssh", "/tmp/ssh")))
    assert finding.message == "turns /usr/bin/ssh from a file into a symlink to /tmp/ssh"


def test_alternative_led_elsewhere_is_refused() -> None:
    path = "etc/alternatives/awk"
    finding = the_one(replaced(a_symlink(path, "/usr/bin/mawk"), a_symlink(path, "/tmp/awk")))
    assert finding.message == "re-links /etc/alternatives/awk: /usr/bin/mawk → /tmp/awk"


def test_command_hidden_by_an_earlier_one_in_path_is_refused() -> None:
    finding = the_one(shadowed("usr/bin/ls", "usr/local/bin/ls"))
    assert finding.message == "adds /usr/local/bin/ls, which hides /usr/bin/ls"


def test_path_reached_through_a_new_symlink_is_refused() -> None:
    finding = the_one(redirected("etc/pam.d/login", "tmp/pam.d/login", by="etc/pam.d"))
    assert finding.message == "leads /etc/pam.d/login to /tmp/pam.d/login, by /etc/pam.d"


def test_unprotected_name_led_to_a_protected_file_is_refused() -> None:
    finding = the_one(redirected("srv/data", "etc/shadow", by="srv"))
    assert finding.evidence["target"] == "/etc/shadow"


def test_hard_link_to_the_shadow_file_is_refused() -> None:
    link = replace(a_file("srv/x"), kind=HARDLINK, sha256=None, link=b"etc/shadow")
    finding = the_one(added(link, "hardlink", "etc/shadow"))
    assert finding.message == "adds /srv/x as a hard link to /etc/shadow"


def test_file_re_moded_through_a_hard_link_is_refused() -> None:
    change = replace(
        re_moded(a_file("srv/x"), a_file("srv/x", mode=0o666)), cause="hardlink", by=b"etc/shadow"
    )
    assert the_one(change).evidence["by"] == "/etc/shadow"


@pytest.mark.parametrize(
    "path",
    [
        "etc/ld.so.preload",
        "root/.ssh/authorized_keys",
        "home/app/.ssh/authorized_keys",
        "etc/sudoers.d/app",
        "etc/apt/trusted.gpg.d/x.gpg",
        "etc/ld.so.conf.d/000-evil.conf",
        "etc/pam.d/other",
    ],
)
def test_creating_what_hands_out_rights_is_refused(path: str) -> None:
    assert the_one(added(a_file(path), "sensitive-path")).message == f"creates /{path}"


def test_link_in_place_of_a_folder_above_a_refused_path_is_refused() -> None:
    finding = the_one(added(a_symlink("root/.ssh", "/srv/keys"), "sensitive-path"))
    assert finding.message == "creates /root/.ssh, a symlink to /srv/keys"


def test_refused_path_created_by_way_of_a_link_is_refused() -> None:
    change = redirected("x/.rhosts", "home/app/.rhosts", by="x")
    change = replace(change, before=None, after=a_file("x/.rhosts"))
    assert the_one(change).message == "creates /home/app/.rhosts, by way of /x/.rhosts"


def test_setuid_program_added_by_way_of_a_link_is_refused() -> None:
    change = redirected("x/tool", "opt/tool", by="x")
    change = replace(change, before=None, after=a_file("x/tool", mode=0o4755))
    assert "setuid root" in the_one(change).message


def test_new_setuid_program_is_refused_wherever_it_stands() -> None:
    finding = the_one(added(a_file("opt/app/tool", mode=0o4755), "setuid"))
    assert finding.message == "adds /opt/app/tool setuid root (mode 4755)"
    assert finding.severity is Severity.HIGH


def test_new_setgid_program_is_a_milder_finding() -> None:
    finding = the_one(added(a_file("usr/bin/agent", mode=0o2755, gid=101), "setuid"))
    assert finding.message == "adds /usr/bin/agent setgid 101 (mode 2755)"
    assert finding.severity is Severity.MEDIUM


def test_new_file_with_capabilities_is_refused() -> None:
    tool = a_file("opt/tool", mode=0o755, xattrs={"security.capability": b"\x01"})
    assert the_one(added(tool, "capability")).message == (
        "adds /opt/tool with capabilities (mode 0755)"
    )


def test_new_block_device_is_refused() -> None:
    disk = Entry(b"srv/disk", BLOCK, 0o600, 0, 0, 0, None, None, device=(8, 0))
    finding = the_one(added(disk, "device"))
    assert finding.message == "adds /srv/disk: a block device"


def test_old_file_outside_the_list_that_becomes_setuid_is_refused() -> None:
    the_one(re_moded(a_file("opt/tool", mode=0o755), a_file("opt/tool", mode=0o4755)))


def test_setuid_file_handed_to_root_is_refused() -> None:
    before = a_file("opt/tool", mode=0o4755, uid=1000)
    after = a_file("opt/tool", mode=0o4755, uid=0)
    assert "setuid root" in the_one(re_moded(before, after)).message


@pytest.mark.parametrize(
    ("listed", "changed"), [("/bin/**", "usr/bin/ls"), ("/usr/sbin/**", "sbin/init")]
)
def test_both_spellings_of_a_merged_usr_are_protected(listed: str, changed: str) -> None:
    settings = ProtectedPathSettings(paths=(listed,), creation=("/etc/x",))
    the_one(deleted(changed), settings=settings)


@pytest.mark.parametrize(
    "path", ["", "usr", "usr/local", "usr/share", "etc", "etc/ssl", "var/spool", "home", "lib"]
)
def test_folder_above_protected_paths_given_away_is_refused(path: str) -> None:
    the_one(re_moded(a_folder(path), a_folder(path, 0o777)))
    the_one(re_moded(a_folder(path), replace(a_folder(path), uid=1000)))
    marked = replace(a_folder(path), xattrs={"security.selinux": b"x"})
    the_one(re_moded(a_folder(path), marked))


def test_re_moded_folder_above_protected_paths_is_told_with_both_modes() -> None:
    finding = the_one(re_moded(a_folder("usr/local"), a_folder("usr/local", 0o777)))
    assert finding.message == "changes /usr/local: mode 0755 → 0777"


def test_link_in_place_of_a_folder_above_protected_paths_is_refused() -> None:
    before, after = a_folder("usr/local"), a_symlink("usr/local", "/srv/x")
    change = replace(redirected("usr/local", "srv/x", cause="type-change"), before=before)
    the_one(replace(change, after=after))
    the_one(replaced(before, a_file("usr/local")))
    the_one(deleted("usr/local"))


def test_folder_above_protected_paths_re_moded_by_way_of_a_link_is_refused() -> None:
    change = replace(redirected("x", "usr/local", by="x"), before=a_folder("usr/local"))
    the_one(replace(change, after=a_folder("x", 0o777)))
    assert judge(replace(change, after=a_folder("x"))) == ()


def test_folder_above_an_operators_glob_is_protected() -> None:
    settings = ProtectedPathSettings(paths=("/srv/app/*/bin/**",), creation=("/etc/x",))
    for path in ("", "srv", "srv/app"):
        the_one(re_moded(a_folder(path), a_folder(path, 0o777)), settings=settings)
    assert judge(re_moded(a_folder("opt"), a_folder("opt", 0o777)), settings=settings) == ()


@pytest.mark.parametrize(("mode", "uid"), [(0o777, 0), (0o755, 1000)])
def test_root_folder_that_only_an_upper_layer_lists_is_refused_unless_usual(
    mode: int, uid: int
) -> None:
    finding = the_one(added(replace(a_folder("", mode), uid=uid), "requested"))
    assert finding.message == f"brings / with mode {mode:04o}, owner {uid}:0"
    assert judge(added(a_folder(""), "requested")) == ()


def test_setuid_program_with_other_contents_and_the_same_bits_is_refused() -> None:
    before, after = a_file("opt/tool", "old", 0o4755), a_file("opt/tool", "new", 0o4755)
    finding = the_one(replaced(before, after))
    assert finding.message.startswith("replaces /opt/tool, setuid root: ")


def test_setgid_program_with_other_contents_is_a_milder_finding() -> None:
    before = a_file("opt/tool", "old", 0o2755, gid=42)
    finding = the_one(replaced(before, a_file("opt/tool", "new", 0o2755, gid=42)))
    assert finding.message.startswith("replaces /opt/tool, setgid 42: ")
    assert finding.severity is Severity.MEDIUM


def test_program_with_capabilities_and_other_contents_is_refused() -> None:
    can = {"security.capability": b"\x01"}
    before, after = a_file("opt/tool", "old", xattrs=can), a_file("opt/tool", "new", xattrs=can)
    assert "with capabilities" in the_one(replaced(before, after)).message


@pytest.mark.parametrize(("mode", "gid"), [(0o4755, 0), (0o4777, 0), (0o4750, 1000)])
def test_setuid_program_opened_to_more_people_is_refused(mode: int, gid: int) -> None:
    before, after = a_file("opt/tool", mode=0o4750), a_file("opt/tool", mode=mode, gid=gid)
    assert the_one(re_moded(before, after)).message.startswith("changes /opt/tool, setuid root: ")


@pytest.mark.parametrize(("mode", "uid"), [(0o666, 0), (0o660, 1000)])
def test_device_opened_to_more_people_is_refused(mode: int, uid: int) -> None:
    before = Entry(b"srv/disk", BLOCK, 0o660, 0, 0, 0, None, None, device=(8, 0))
    finding = the_one(re_moded(before, replace(before, mode=mode, uid=uid)))
    assert finding.message.startswith("changes /srv/disk, a block device: ")


def test_setuid_program_replaced_by_way_of_a_link_is_refused() -> None:
    change = redirected("x/tool", "opt/tool", by="x")
    before, after = a_file("opt/tool", "old", 0o4755), a_file("x/tool", "new", 0o4755)
    assert "setuid root" in the_one(replace(change, before=before, after=after)).message


# --- what must not be found --------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        identical(a_file("etc/shadow")),
        added(a_file("usr/bin/new-tool", mode=0o755)),
        added(a_file("etc/nginx/nginx.conf"), "sensitive-path"),
        added(a_file("etc/pam.d/sshd"), "sensitive-path"),
        added(a_file("etc/cron.d/php"), "sensitive-path"),
        added(a_file("etc/profile.d/app.sh"), "sensitive-path"),
        added(a_folder("etc/ld.so.conf.d"), "sensitive-path"),
        added(a_folder("root/.ssh"), "sensitive-path"),
        added(a_folder("etc/sudoers.d"), "sensitive-path"),
        added(a_folder("var/mail", 0o2775), "setuid"),
        replaced(a_file("etc/ld.so.cache", "1"), a_file("etc/ld.so.cache", "2")),
        replaced(a_file("var/lib/dpkg/status", "1"), a_file("var/lib/dpkg/status", "2")),
        replaced(a_file("lib/apk/db/installed", "1"), a_file("lib/apk/db/installed", "2")),
        replaced(a_file("usr/lib/apk/db/installed", "1"), a_file("usr/lib/apk/db/installed", "2")),
        replaced(a_file("etc/apk/world", "1"), a_file("etc/apk/world", "2")),
        deleted("var/lib/apt/lists/x"),
        deleted("usr/share/doc/x", "opaque", "usr/share/doc"),
        shadowed("opt/a/tool", "opt/b/tool"),
        replace(
            replaced(a_symlink("opt/python", "a"), a_symlink("opt/python", "/usr/bin/python3")),
            target=b"usr/bin/python3",
        ),
    ],
    ids=lambda change: f"{change.kind}-{change.path.decode()}",
)
def test_ordinary_change_passes(change: Change) -> None:
    assert judge(change) == ()


def test_privileged_file_written_again_passes() -> None:
    tool = a_file("opt/tool", "same", 0o4755)
    disk = Entry(b"srv/disk", BLOCK, 0o660, 0, 0, 0, None, None, device=(8, 0))
    assert judge(identical(tool), identical(disk)) == ()
    change = replace(redirected("x/tool", "opt/tool", by="x"), before=tool)
    assert judge(replace(change, after=replace(tool, path=b"x/tool"))) == ()


@pytest.mark.parametrize("path", ["tmp", "opt", "srv", "usr/share/doc", "var/lib", "home/app"])
def test_folder_that_leads_to_nothing_protected_may_be_re_moded(path: str) -> None:
    assert judge(re_moded(a_folder(path), a_folder(path, 0o1777))) == ()


def test_folder_above_protected_paths_listed_again_passes() -> None:
    assert judge(identical(a_folder("usr/local")), identical(a_folder(""))) == ()
    assert judge(added(a_folder("usr/local", 0o2775))) == ()


def test_exception_frees_a_folder_above_protected_paths() -> None:
    settings = replace(SETTINGS, exceptions=("/usr/local",))
    change = re_moded(a_folder("usr/local"), a_folder("usr/local", 0o2775))
    assert judge(change, settings=settings) == ()


def test_setuid_program_open_to_fewer_people_passes() -> None:
    before, after = a_file("opt/tool", mode=0o4755), a_file("opt/tool", mode=0o4750)
    assert judge(re_moded(before, after)) == ()


def test_setuid_bit_taken_away_outside_the_list_passes() -> None:
    before, after = a_file("opt/tool", mode=0o4755), a_file("opt/tool", mode=0o755)
    assert judge(re_moded(before, after)) == ()


def test_lowest_layer_may_bring_what_a_root_file_system_has() -> None:
    changes = [
        added(a_file("usr/bin/su", mode=0o4755), "setuid"),
        added(a_file("etc/sudoers"), "sensitive-path"),
    ]
    facts = make_facts(make_image("base"), changes={0: changes})
    assert RULE.check(facts, SETTINGS) == ()


def test_layers_of_the_base_are_not_judged() -> None:
    image = make_image("base", "more")
    facts = make_facts(image, changes={1: [deleted("etc/shadow")]})
    assert image.top is not None
    assert RULE.check(replace(facts, base=Base("base", image.top, 2)), SETTINGS) == ()


# --- exceptions --------------------------------------------------------------------------------


def test_exception_frees_its_path_only() -> None:
    settings = replace(SETTINGS, exceptions=("/etc/passwd",))
    finding = the_one(deleted("etc/passwd"), deleted("etc/shadow"), settings=settings)
    assert finding.evidence["path"] == "/etc/shadow"


def test_exception_for_a_name_does_not_free_what_it_leads_to() -> None:
    settings = replace(SETTINGS, exceptions=("/srv/**",))
    assert the_one(redirected("srv/data", "etc/shadow", by="srv"), settings=settings)


def test_exception_frees_a_name_that_is_hidden() -> None:
    settings = replace(SETTINGS, exceptions=("/usr/bin/python3",))
    assert judge(shadowed("usr/bin/python3", "usr/local/bin/python3"), settings=settings) == ()


def test_exception_covers_privileged_files_too() -> None:
    settings = replace(SETTINGS, exceptions=("/usr/bin/sudo",))
    assert judge(added(a_file("usr/bin/sudo", mode=0o4755), "setuid"), settings=settings) == ()


def test_privileged_files_pass_only_when_the_policy_says_so() -> None:
    change = added(a_file("opt/tool", mode=0o4755), "setuid")
    assert judge(change, settings=replace(SETTINGS, privileged=False)) == ()
    assert judge(change, settings=SETTINGS) != ()


@pytest.mark.parametrize(
    "path", ["usr/lib/locale/x", "usr/lib/sysimage/x", "lib/apk/db/x", "usr/lib/apk/db/x"]
)
def test_privileged_file_in_a_built_in_exception_is_refused(path: str) -> None:
    setuid = a_file(path, "new", mode=0o4755)
    the_one(added(setuid, "setuid"))
    the_one(replaced(a_file(path, "old"), setuid))
    the_one(added(a_file(path, xattrs={"security.capability": b"\x01"}), "capability"))


def test_device_in_a_built_in_exception_is_refused() -> None:
    disk = Entry(b"usr/lib/locale/disk", BLOCK, 0o600, 0, 0, 0, None, None, device=(8, 0))
    the_one(added(disk, "device"))
    the_one(replaced(a_file("usr/lib/locale/disk"), disk))


def test_operators_exception_inside_a_built_in_one_frees_a_privileged_file() -> None:
    settings = replace(SETTINGS, exceptions=(*SETTINGS.exceptions, "/usr/lib/locale/x"))
    setuid = a_file("usr/lib/locale/x", mode=0o4755)
    assert judge(added(setuid, "setuid"), settings=settings) == ()


def test_refused_creation_in_a_built_in_exception_is_refused() -> None:
    settings = replace(SETTINGS, creation=("/usr/lib/sysimage/key",))
    the_one(added(a_file("usr/lib/sysimage/key"), "requested"), settings=settings)


# --- many at once ------------------------------------------------------------------------------


def opaque_usr(count: int) -> list[Change]:
    return [deleted(f"usr/bin/tool-{n:05}", "opaque", "usr") for n in range(count)]


def test_opaque_usr_is_one_finding_with_a_count_and_examples() -> None:
    finding = the_one(*opaque_usr(5_000), deleted("usr/share/x", "opaque", "usr"))
    assert finding.message == (
        "deletes 5,001 protected paths (opaque folder /usr), such as /usr/bin/tool-00000"
    )
    assert finding.evidence["total"] == 5_001
    paths = finding.evidence["paths"]
    assert isinstance(paths, list)
    assert len(paths) == MAX_EXAMPLES


def test_opaque_root_is_one_finding_that_names_the_root() -> None:
    paths = ("bin", "bin/sh", "etc", "etc/shadow", "srv", "srv/x")
    finding = the_one(*(deleted(path, "opaque") for path in paths))
    assert finding.message == "empties the root folder (opaque): hides 6 paths"
    assert finding.evidence["by"] == "/"
    assert finding.evidence["total"] == 6
    one = the_one(deleted("srv", "opaque"))
    assert one.message == "empties the root folder (opaque): hides 1 path"


def test_opaque_root_without_the_root_in_the_list_is_one_finding() -> None:
    settings = ProtectedPathSettings(paths=("/etc/shadow",), creation=("/etc/x",))
    swept = [deleted(path, "opaque") for path in ("etc", "etc/shadow", "srv")]
    assert the_one(*swept, settings=settings).evidence["total"] == 3


def test_examples_name_the_most_telling_paths_first() -> None:
    swept = [deleted(f"etc/{name}", "opaque", "etc") for name in ("a", "b", "shadow")]
    paths = the_one(*swept).evidence["paths"]
    assert paths == ["/etc/shadow", "/etc/a", "/etc/b"]


def test_whiteout_of_a_folder_is_one_finding() -> None:
    swept = [
        deleted("etc/pam.d"),
        deleted("etc/pam.d/login", by="etc/pam.d"),
        deleted("etc/pam.d/su", by="etc/pam.d"),
    ]
    assert the_one(*swept).message == (
        "deletes 3 protected paths (whiteout /etc/.wh.pam.d), such as /etc/pam.d"
    )


def test_many_single_changes_are_bounded_and_none_is_lost() -> None:
    count = 4 * MAX_FINDINGS
    changes: Sequence[Change] = [
        replaced(a_file(f"usr/bin/t{n}", "1"), a_file(f"usr/bin/t{n}", "2")) for n in range(count)
    ]
    findings = judge(*changes, deleted("etc/shadow"))
    assert len(findings) <= MAX_FINDINGS + len(ChangeKind)
    assert findings[0].evidence["path"] == "/etc/shadow"
    totals = [f.evidence.get("total", 1) for f in findings]
    assert sum(total for total in totals if isinstance(total, int)) == count + 1


def test_findings_do_not_depend_on_the_order_of_changes() -> None:
    changes = [*opaque_usr(30), deleted("etc/shadow"), shadowed("usr/bin/ls", "usr/local/bin/ls")]
    assert judge(*changes) == judge(*reversed(changes))


# --- what is not known -------------------------------------------------------------------------


def test_layer_that_was_not_indexed_is_unknown() -> None:
    facts = make_facts(make_image("base", "app"), changes={1: None})
    (finding,) = RULE.check(facts, SETTINGS)
    assert finding.status is Status.UNKNOWN
    assert finding.position == 1
    assert "layerproof index" in finding.remedy


def test_changes_that_are_only_counted_are_unknown() -> None:
    facts = make_facts(make_image("base", "app"))
    counted = ChangeSet({ChangeKind.ADDED: 9, ChangeKind.IDENTICAL: 9, ChangeKind.DELETED: 2})
    layers = (facts.layers[0], LayerFacts(facts.layers[1].layer, counted))
    (finding,) = RULE.check(replace(facts, layers=layers), SETTINGS)
    assert finding.status is Status.UNKNOWN
    assert finding.evidence["total"] == 2


# --- hostile names -----------------------------------------------------------------------------


def test_escape_sequences_in_names_do_not_reach_a_message() -> None:
    change = deleted("usr/bin/\x1b[2J\u202eexe\n")
    change = replace(change, target=b"\xff\xfe")
    finding = the_one(change)
    assert finding.message.isprintable()
    assert str(finding.evidence["path"]).isprintable()


def test_endless_name_is_cut() -> None:
    assert len(the_one(deleted("usr/bin/" + "x" * 16_000)).message) < 1_000
