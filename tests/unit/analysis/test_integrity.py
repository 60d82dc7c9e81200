"""Files that packages own: who changed them, which changes are upgrades, what nobody owns."""

import pytest
from tests.unit.attacks.world import Deb, Files, World, apk_installed, installed, record

from layerproof.model.change import ChangeKind
from layerproof.model.ownership import NO_INTEGRITY, Alteration, Integrity
from layerproof.testing.images import BuiltImage, File, Hardlink, Symlink, Whiteout, build

LOGIN = Deb("login", "1:4.13", {"usr/bin/login": b"login 4.13", "usr/bin/su": b"su 4.13"})
LIBC = Deb(
    "libc6",
    "2.36",
    {"usr/lib/libc.so.6": b"libc 2.36", "usr/lib/libc.so": Symlink("libc.so.6")},
    conffiles={"etc/ld.so.conf.d/libc.conf": b"/usr/local/lib\n"},
)
BASE = build([installed(LOGIN, LIBC)])


def above(files: Files, base: BuiltImage = BASE) -> Integrity:
    """What a layer with these files does."""
    return World().chain(build([files], base=base)).integrity


def altered(integrity: Integrity) -> dict[bytes, tuple[str, Alteration]]:
    return {file.path: (file.package, file.how) for file in integrity.altered}


def verified(integrity: Integrity) -> dict[bytes, str]:
    return {path: package for path, _, package in integrity.verified}


def test_an_installation_alters_nothing() -> None:
    assert World().chain(BASE).integrity == NO_INTEGRITY


def test_a_file_that_a_package_owns_is_replaced() -> None:
    found = above({"usr/bin/login": File(b"a back door", mode=0o755)})
    assert altered(found) == {b"usr/bin/login": ("login", Alteration.CONTENTS)}
    (file,) = found.altered
    assert file.expected.startswith("md5:")
    assert file.found.startswith("md5:")
    assert file.manifest == b"var/lib/dpkg/info/login.md5sums"


def test_an_identical_rewrite_alters_nothing() -> None:
    assert altered(above({"usr/bin/login": File(b"login 4.13", mode=0o755)})) == {}


def test_a_file_that_becomes_a_link_is_altered() -> None:
    found = above({"usr/bin/login": Symlink("/tmp/x")})
    assert altered(found) == {b"usr/bin/login": ("login", Alteration.KIND)}


def test_a_file_that_is_left_out_is_not_altered() -> None:
    assert altered(above({"usr/bin/login": Whiteout()})) == {}


def test_a_database_that_claims_an_upgrade_is_compared_with_the_files_below() -> None:
    newer = LOGIN.but(version="1:4.14", files={"usr/bin/login": b"login 4.14"})
    found = above({**newer.database, "var/lib/dpkg/status": newer.stanza + "\n" + LIBC.stanza})
    assert altered(found) == {b"usr/bin/login": ("login", Alteration.CONTENTS)}
    assert found.verified == ()


def test_an_upgrade_is_verified_file_by_file() -> None:
    newer = LOGIN.but(version="1:4.14", files={"usr/bin/login": b"4.14", "usr/bin/su": b"su 4.13"})
    found = above(installed(newer, LIBC, new=["login"]))
    assert altered(found) == {}
    assert found.verified == ((b"usr/bin/login", ChangeKind.REPLACED, "login"),)


def test_an_upgrade_moves_links_and_drops_old_files() -> None:
    newer = LIBC.but(
        version="2.37",
        files={"usr/lib/libc-2.37.so": b"libc 2.37", "usr/lib/libc.so": Symlink("libc-2.37.so")},
    )
    layer = installed(LOGIN, newer, new=["libc6"])
    found = above(layer | {"usr/lib/libc.so.6": Whiteout()})
    assert verified(found) == {b"usr/lib/libc.so": "libc6", b"usr/lib/libc.so.6": "libc6"}


def test_a_link_that_leads_out_of_the_package_is_not_part_of_its_upgrade() -> None:
    newer = LIBC.but(version="2.37")
    layer = installed(LOGIN, newer, new=["libc6"]) | {"usr/lib/libc.so": Symlink("/srv/evil.so")}
    assert b"usr/lib/libc.so" not in verified(above(layer | {"srv/evil.so": "x"}))


def test_an_upgrade_with_one_more_change_verifies_all_but_that() -> None:
    newer = LOGIN.but(version="1:4.14", files={"usr/bin/login": b"4.14", "usr/bin/su": b"su 4.14"})
    layer = installed(newer, LIBC, new=["login"])
    found = above(layer | {"usr/bin/su": File(b"a back door", mode=0o4755)})
    assert verified(found) == {b"usr/bin/login": "login"}
    assert altered(found) == {b"usr/bin/su": ("login", Alteration.CONTENTS)}


def test_checksums_of_the_same_version_do_not_make_an_upgrade() -> None:
    forged = LOGIN.but(files={"usr/bin/login": b"back door", "usr/bin/su": b"su 4.13"})
    found = above(installed(forged, LIBC, new=["login"]))
    assert altered(found) == {}  # the layer says of itself that this is what login is
    assert found.verified == ()  # but no package changed


def test_a_configuration_file_is_told_apart() -> None:
    (file,) = above({"etc/ld.so.conf.d/libc.conf": "/tmp\n"}).altered
    assert (file.package, file.config) == ("libc6", True)


def test_a_database_from_before_usr_was_merged_names_the_same_files() -> None:
    old = Deb("bash", "5.2", {"bin/bash": b"bash 5.2"})
    base = build(
        [
            {
                **old.database,
                "var/lib/dpkg/status": old.stanza,
                "bin": Symlink("usr/bin"),
                "usr/bin/bash": File(b"bash 5.2", mode=0o755),
            }
        ]
    )
    assert World().chain(base).integrity == NO_INTEGRITY
    found = above({"usr/bin/bash": File(b"evil", mode=0o755)}, base)
    assert altered(found) == {b"usr/bin/bash": ("bash", Alteration.CONTENTS)}


def test_of_two_owners_one_must_be_right() -> None:
    first = Deb("dash", "1", {"usr/bin/sh": b"dash"})
    second = Deb("bash", "1", {"usr/bin/sh": b"bash"})
    base = build([installed(first, second) | {"usr/bin/sh": File(b"dash", mode=0o755)}])
    assert World().chain(base).integrity == NO_INTEGRITY
    assert altered(above({"usr/bin/sh": File(b"evil", mode=0o755)}, base)).keys() == {b"usr/bin/sh"}


def test_a_hard_link_brings_the_contents_of_its_target() -> None:
    found = above({"srv/x": File(b"evil", mode=0o755), "usr/bin/login": Hardlink("srv/x")})
    assert altered(found) == {}  # /srv is no place of packages: no MD5 was taken
    assert found.unverifiable == 1


def test_a_removed_package_owns_nothing_any_more() -> None:
    gone = build(
        [
            {
                "var/lib/dpkg/status": LIBC.stanza,
                "var/lib/dpkg/info/login.md5sums": Whiteout(),
                "var/lib/dpkg/info/login.list": Whiteout(),
                "usr/bin/login": Whiteout(),
            }
        ],
        base=BASE,
    )
    found = above({"usr/bin/login": File(b"mine", mode=0o755)}, gone)
    assert altered(found) == {}
    assert [file.path for file in found.foreign] == [b"usr/bin/login"]


# --- apk and Python ----------------------------------------------------------------------------


def test_apk_files_are_compared_by_sha1() -> None:
    files = {"bin/busybox": b"busybox", "etc/motd": b"hello"}
    base = build(
        [
            {
                "lib/apk/db/installed": apk_installed(("busybox", "1.36-r0", files)),
                "bin/busybox": File(b"busybox", mode=0o755),
                "etc/motd": "hello",
            }
        ]
    )
    assert World().chain(base).integrity == NO_INTEGRITY
    found = above({"bin/busybox": File(b"evil", mode=0o755), "etc/motd": "hi"}, base)
    assert altered(found).keys() == {b"bin/busybox", b"etc/motd"}
    assert {file.path for file in found.altered if file.config} == {b"etc/motd"}


def test_python_files_are_compared_by_sha256() -> None:
    site = "usr/local/lib/python3.11/site-packages"
    files = {"pkg/__init__.py": b"x = 1\n", "../../../bin/pkg": b"#!/usr/bin/python3\n"}
    base = build(
        [
            {
                f"{site}/pkg-1.dist-info/METADATA": "Name: pkg\nVersion: 1\n",
                f"{site}/pkg-1.dist-info/RECORD": record(files),
                f"{site}/pkg/__init__.py": "x = 1\n",
                "usr/local/bin/pkg": File(b"#!/usr/bin/python3\n", mode=0o755),
            }
        ]
    )
    assert World().chain(base).integrity == NO_INTEGRITY
    found = above({f"{site}/pkg/__init__.py": "import evil\n"}, base)
    assert altered(found) == {f"{site}/pkg/__init__.py".encode(): ("pkg", Alteration.CONTENTS)}


# --- foreign -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "kind"),
    [
        (File(b"#!/bin/sh\n", mode=0o755), "script"),
        (File(b"\x7fELF" + bytes(60), mode=0o644), "elf"),
        (File(b"anything", mode=0o700), "executable"),
        (File(b"#!/bin/sh\n", mode=0o644), None),
        (File(b"text", mode=0o644), None),
    ],
    ids=["script", "library", "executable", "script to read", "text"],
)
def test_an_executable_that_nobody_owns_is_foreign(file: File, kind: str | None) -> None:
    found = above({"usr/bin/x": file})
    assert [f.kind for f in found.foreign] == ([kind] if kind else [])


def test_what_packages_and_node_bring_is_not_foreign() -> None:
    found = above(
        {
            "app/node_modules/tool/package.json": '{"name": "tool", "version": "1"}',
            "app/node_modules/tool/cli.js": File(b"#!/usr/bin/env node\n", mode=0o755),
            "app/node_modules/lonely/cli.js": File(b"#!/usr/bin/env node\n", mode=0o755),
            "var/lib/dpkg/info/x.postinst": File(b"#!/bin/sh\n", mode=0o755),
        }
    )
    assert [file.path for file in found.foreign] == [b"app/node_modules/lonely/cli.js"]
