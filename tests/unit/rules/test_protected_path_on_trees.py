"""`protected-path` on changes that the squashed tree really reports: tar entries → findings."""

from collections.abc import Sequence
from dataclasses import replace

from tests.unit.rules.facts_builder import a_file, a_folder, a_symlink, make_facts, make_image

from layerproof.model.entry import (
    DIRECTORY,
    HARDLINK,
    NO_DIGEST,
    OPAQUE,
    WHITEOUT,
    Entry,
    EntryTable,
)
from layerproof.model.facts import LayerFacts
from layerproof.oci.tree import Tree
from layerproof.policy.defaults import DEFAULT_POLICY
from layerproof.rules.protected_path import ProtectedPath

RULE = ProtectedPath()

BASE = [
    *(a_folder(path) for path in ("", "etc", "etc/pam.d", "home", "root", "usr", "usr/bin")),
    *(a_folder(path) for path in ("usr/lib", "usr/local", "usr/local/bin", "var", "opt")),
    a_symlink("bin", "usr/bin"),
    a_symlink("lib", "usr/lib"),
    *(a_file(path, "1") for path in ("etc/passwd", "etc/pam.d/login", "etc/ld.so.cache")),
    a_file("etc/shadow", "1", mode=0o640),
    *(a_file(f"usr/bin/{name}", name, mode=0o755) for name in ("ls", "find", "login")),
    a_file("usr/bin/su", "su", mode=0o4755),
    a_file("usr/lib/libc.so.6", "libc", mode=0o755),
    a_file("var/lib/dpkg/status", "1"),
]


def table(entries: Sequence[Entry]) -> EntryTable:
    made = EntryTable()
    for index, entry in enumerate(entries):
        made.paths.append(entry.path)
        made.kinds.append(entry.kind)
        made.owners.append((entry.mode, entry.uid, entry.gid))
        made.sizes.append(entry.size)
        made.digests += entry.sha256 or NO_DIGEST
        if entry.link is not None:
            made.links[index] = entry.link
        if entry.xattrs:
            made.xattrs[index] = dict(entry.xattrs)
    return made


def marker(kind: int, path: str) -> Entry:
    return Entry(path.encode(), kind, 0o644, 0, 0, 0, None, None)


def hard_link(path: str, target: str, mode: int = 0o644) -> Entry:
    return Entry(path.encode(), HARDLINK, mode, 0, 0, 0, None, target.encode())


def messages(*layer: Entry) -> list[str]:
    """What the rule says of a second layer with these entries on the base above."""
    tree = Tree()
    lowest, second = tree.apply(table(BASE)), tree.apply(table(layer))
    facts = make_facts(make_image("base", "app"))
    rows = tuple(
        LayerFacts(row.layer, changes)
        for row, changes in zip(facts.layers, (lowest, second), strict=True)
    )
    findings = RULE.check(replace(facts, layers=rows), DEFAULT_POLICY.of(RULE).settings)
    assert all(finding.position == 1 for finding in findings)
    return [finding.message for finding in findings]


def test_root_file_system_itself_makes_no_finding() -> None:
    assert messages() == []


def test_ordinary_application_layer_makes_no_finding() -> None:
    layer = [
        a_folder("etc"),
        a_file("etc/nginx/nginx.conf", "conf"),
        a_file("etc/ld.so.cache", "2"),
        a_file("etc/shadow", "1", mode=0o640),
        a_folder("usr/bin"),
        a_file("usr/bin/nginx", "nginx", mode=0o755),
        a_file("usr/local/bin/app", "app", mode=0o755),
        hard_link("usr/local/bin/app2", "usr/local/bin/app", 0o755),
        a_symlink("usr/bin/python", "python3"),
        a_file("var/lib/dpkg/status", "2"),
        a_file("opt/app/main.py", "code"),
    ]
    assert messages(*layer) == []


def test_whiteout_of_shadow_file_is_found() -> None:
    assert messages(marker(WHITEOUT, "etc/shadow")) == [
        "deletes /etc/shadow (whiteout /etc/.wh.shadow)"
    ]


def test_opaque_etc_is_one_finding() -> None:
    assert messages(a_folder("etc"), marker(OPAQUE, "etc")) == [
        "deletes 5 protected paths (opaque folder /etc), such as /etc/passwd"
    ]


def test_whiteout_of_a_folder_is_one_finding() -> None:
    assert messages(marker(WHITEOUT, "etc/pam.d")) == [
        "deletes 2 protected paths (whiteout /etc/.wh.pam.d), such as /etc/pam.d"
    ]


def test_folder_turned_into_a_link_is_found_with_all_that_went() -> None:
    found = messages(a_symlink("etc/pam.d", "/opt/pam.d"), a_file("opt/pam.d/login", "evil"))
    assert "leads /etc/pam.d to /opt/pam.d" in found
    assert any("/etc/pam.d is a folder no more" in message for message in found)


def test_program_replaced_and_made_setuid_are_found() -> None:
    found = messages(
        a_file("usr/bin/login", "evil", mode=0o755), a_file("usr/bin/find", "find", mode=0o4755)
    )
    assert len(found) == 2
    assert "makes /usr/bin/find setuid root (mode 0755 → 4755)" in found
    assert any(message.startswith("replaces /usr/bin/login: ") for message in found)


def test_program_replaced_by_way_of_the_merged_usr_is_found() -> None:
    found = messages(a_folder("bin"), a_file("bin/login", "evil", mode=0o755))
    assert any("/usr/bin/login" in message for message in found)
    assert any(message.startswith("turns /bin from a symlink into a dir") for message in found)


def test_command_put_before_another_is_found() -> None:
    assert messages(a_file("usr/local/bin/ls", "evil", mode=0o755)) == [
        "adds /usr/local/bin/ls, which hides /usr/bin/ls"
    ]


def test_hard_link_to_the_shadow_file_is_found() -> None:
    assert "adds /opt/x as a hard link to /etc/shadow" in messages(
        hard_link("opt/x", "etc/shadow", 0o640)
    )


def test_shadow_file_opened_through_a_hard_link_is_found() -> None:
    found = messages(hard_link("opt/x", "etc/shadow", 0o666))
    assert "changes /etc/shadow: mode 0640 → 0666" in found


def test_setuid_program_anywhere_is_found() -> None:
    assert messages(a_file("opt/app/tool", "x", mode=0o4755)) == [
        "adds /opt/app/tool setuid root (mode 4755)"
    ]


def test_keys_for_root_are_found_however_they_come() -> None:
    assert messages(a_file("root/.ssh/authorized_keys", "key")) == [
        "creates /root/.ssh/authorized_keys"
    ]
    by_link = [a_symlink("root/.ssh", "/opt/keys"), a_file("opt/keys/authorized_keys", "key")]
    assert "creates /root/.ssh, a symlink to /opt/keys" in messages(*by_link)


def test_world_writable_etc_is_found() -> None:
    folder = replace(a_folder("etc"), mode=0o777)
    assert folder.kind == DIRECTORY
    assert messages(folder) == ["changes /etc: mode 0755 → 0777"]
