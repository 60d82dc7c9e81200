"""What layers do to packages."""

from dataclasses import replace

import pytest

from layerproof.analysis.package_changes import PackageTree
from layerproof.model.package import Package, PackageChange, PackageChangeKind, PackageType

STATUS = b"var/lib/dpkg/status"
SITE = b"usr/lib/python3/site-packages/"


def deb(name: str, version: str = "1", path: bytes = STATUS, **more: str) -> Package:
    return Package(PackageType.DEB, name, version, path, **more)


def wheel(name: str, version: str, folder: bytes = SITE) -> Package:
    info = f"{name}-{version}.dist-info/METADATA".encode()
    return Package(PackageType.PYPI, name, version, folder + info)


def npm(name: str, version: str, path: bytes = b"") -> Package:
    path = path or f"app/node_modules/{name}/package.json".encode()
    return Package(PackageType.NPM, name, version, path)


def layer(
    tree: PackageTree,
    *packages: Package,
    files: tuple[bytes, ...] = (),
    removed: tuple[bytes, ...] = (),
    distribution: str = "",
) -> tuple[PackageChange, ...]:
    """Puts a layer on top that deletes the `removed` paths."""
    every = {*files, *(package.path for package in packages)}
    return tree.apply(packages, every, set(removed).__contains__, distribution=distribution)


def told(changes: tuple[PackageChange, ...]) -> list[tuple[str, str, str, str]]:
    """Kind, name, version before, version after."""
    return [
        (
            change.kind.value,
            change.package.name,
            change.before.version if change.before else "",
            change.after.version if change.after else "",
        )
        for change in changes
    ]


def test_first_layer_adds_everything_sorted() -> None:
    tree = PackageTree()
    changes = layer(tree, deb("zlib"), wheel("flask", "1"), deb("bash"))
    assert [change.package.name for change in changes] == ["bash", "zlib", "flask"]
    assert {change.kind for change in changes} == {PackageChangeKind.ADDED}
    assert len(tree.packages) == 3


def test_database_is_compared_record_by_record() -> None:
    tree = PackageTree()
    layer(tree, deb("bash", "1"), deb("curl", "1"), deb("zlib", "1"))
    changes = layer(tree, deb("bash", "1"), deb("curl", "2"), deb("nginx", "5"))
    assert told(changes) == [
        ("changed", "curl", "1", "2"),
        ("added", "nginx", "", "5"),
        ("removed", "zlib", "1", ""),
    ]


def test_downgrade_is_a_change_too() -> None:
    tree = PackageTree()
    layer(tree, deb("openssl", "3"))
    assert told(layer(tree, deb("openssl", "1"))) == [("changed", "openssl", "3", "1")]


def test_same_database_again_changes_nothing() -> None:
    tree = PackageTree()
    packages = (deb("bash"), deb("zlib"), wheel("flask", "1"))
    layer(tree, *packages)
    assert layer(tree, *reversed(packages)) == ()


def test_layer_without_packages_changes_nothing() -> None:
    tree = PackageTree()
    layer(tree, deb("bash"))
    assert layer(tree) == ()
    assert tree.packages == (deb("bash"),)


def test_emptied_database_removes_what_it_listed() -> None:
    tree = PackageTree()
    layer(tree, deb("bash"), wheel("flask", "1"))
    assert told(layer(tree, files=(STATUS,))) == [("removed", "bash", "1", "")]


def test_deleted_database_removes_what_it_listed() -> None:
    tree = PackageTree()
    layer(tree, deb("bash"))
    assert told(layer(tree, removed=(STATUS,))) == [("removed", "bash", "1", "")]
    assert tree.packages == ()


def test_removed_and_added_again_in_a_later_layer_is_told_as_both() -> None:
    tree = PackageTree()
    layer(tree, deb("bash"), deb("curl"))
    assert told(layer(tree, deb("bash"))) == [("removed", "curl", "1", "")]
    assert told(layer(tree, deb("bash"), deb("curl"))) == [("added", "curl", "", "1")]


def test_one_name_in_two_architectures_is_two_packages() -> None:
    tree = PackageTree()
    amd64, i386 = deb("libc6", "1", architecture="amd64"), deb("libc6", "1", architecture="i386")
    layer(tree, amd64)
    assert told(layer(tree, amd64, i386)) == [("added", "libc6", "", "1")]
    assert told(layer(tree, replace(amd64, version="2"), i386)) == [("changed", "libc6", "1", "2")]


def test_record_rewritten_with_another_source_is_told() -> None:
    tree = PackageTree()
    layer(tree, deb("libssl3", source="openssl"))
    (change,) = layer(tree, deb("libssl3", source="harmless"))
    assert change.kind is PackageChangeKind.CHANGED
    assert change.before is not None
    assert change.before.source == "openssl"


def test_pip_upgrade_is_one_change() -> None:
    tree = PackageTree()
    old = wheel("Flask_Login", "1.0")
    layer(tree, old, wheel("click", "8"))
    changes = layer(tree, wheel("flask-login", "1.1"), removed=(old.path,))
    assert told(changes) == [("changed", "flask-login", "1.0", "1.1")]


def test_upgrade_in_another_folder_is_two_changes() -> None:
    tree = PackageTree()
    old = wheel("flask", "1.0")
    layer(tree, old)
    changes = layer(tree, wheel("flask", "1.1", b"venv/site-packages/"), removed=(old.path,))
    assert told(changes) == [("removed", "flask", "1.0", ""), ("added", "flask", "", "1.1")]


def test_second_version_beside_the_first_is_an_addition() -> None:
    tree = PackageTree()
    layer(tree, wheel("flask", "1.0"))
    assert told(layer(tree, wheel("flask", "1.1"))) == [("added", "flask", "", "1.1")]
    assert len(tree.packages) == 2


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"foo-1.egg-info", b"foo-2.egg-info"),
        (b"foo.egg-info/PKG-INFO", b"foo-2.dist-info/METADATA"),
        (b"foo-1-py3.egg/EGG-INFO/PKG-INFO", b"foo-2.egg-info"),
    ],
)
def test_upgrade_across_metadata_forms_is_one_change(old: bytes, new: bytes) -> None:
    tree = PackageTree()
    layer(tree, Package(PackageType.PYPI, "foo", "1", SITE + old))
    after = Package(PackageType.PYPI, "foo", "2", SITE + new)
    assert told(layer(tree, after, removed=(SITE + old,))) == [("changed", "foo", "1", "2")]


def test_npm_upgrade_keeps_its_path_and_is_one_change() -> None:
    tree = PackageTree()
    layer(tree, npm("express", "4"))
    assert told(layer(tree, npm("express", "5"))) == [("changed", "express", "4", "5")]


def test_npm_package_removed_by_whiteout_of_its_folder() -> None:
    tree = PackageTree()
    layer(tree, npm("a", "1"), npm("b", "1"))
    assert told(layer(tree, removed=(npm("a", "1").path,))) == [("removed", "a", "1", "")]


def test_another_package_at_the_same_path_is_removal_and_addition() -> None:
    tree = PackageTree()
    path = b"app/node_modules/x/package.json"
    layer(tree, npm("x", "1", path))
    assert told(layer(tree, npm("evil", "1", path))) == [
        ("added", "evil", "", "1"),
        ("removed", "x", "1", ""),
    ]


def test_distroless_layers_add_one_file_each() -> None:
    tree = PackageTree()
    folder = b"var/lib/dpkg/status.d/"
    assert told(layer(tree, deb("tzdata", "1", folder + b"tzdata")))[0][0] == "added"
    assert told(layer(tree, deb("libc6", "1", folder + b"libc6"))) == [("added", "libc6", "", "1")]
    assert told(layer(tree, deb("libc6", "2", folder + b"libc6"))) == [
        ("changed", "libc6", "1", "2")
    ]


def test_database_that_moves_changes_nothing_but_the_path() -> None:
    tree = PackageTree()
    old, new = b"lib/apk/db/installed", b"usr/lib/apk/db/installed"
    musl = Package(PackageType.APK, "musl", "1", old)
    zlib = Package(PackageType.APK, "zlib", "1", old)
    layer(tree, musl, zlib)
    moved = (replace(musl, path=new), replace(zlib, path=new, version="2"))
    assert told(layer(tree, *moved, removed=(old,))) == [("changed", "zlib", "1", "2")]
    assert tree.packages == moved


def test_equal_versions_are_matched_before_others() -> None:
    tree = PackageTree()
    one, two = wheel("foo", "1"), wheel("foo", "2")
    layer(tree, one, two)
    again = replace(two, path=SITE + b"foo.egg-info/PKG-INFO")
    changes = layer(tree, again, wheel("foo", "3"), removed=(one.path, two.path))
    assert told(changes) == [("changed", "foo", "1", "3")]


def test_distribution_of_lower_layers_is_taken_and_is_no_change() -> None:
    tree = PackageTree()
    layer(tree, deb("bash", distribution="ubuntu"))
    (change,) = layer(tree, deb("bash"), deb("curl"))
    assert change.after == deb("curl", distribution="ubuntu")
    assert tree.packages[0].distribution == "ubuntu"


def test_distribution_of_a_layer_without_packages_is_taken() -> None:
    tree = PackageTree()
    layer(tree, distribution="alpine")
    layer(tree, wheel("flask", "1"), Package(PackageType.APK, "musl", "1", b"lib/apk/db/installed"))
    assert [package.distribution for package in tree.packages] == ["alpine", ""]


def test_many_files_that_state_one_package_are_matched_in_linear_time() -> None:
    tree = PackageTree()
    folder = b"var/lib/dpkg/status.d/"
    old = [deb("x", str(n), folder + b"a%d" % n) for n in range(5_000)]
    new = [deb("x", str(-n - 1), folder + b"b%d" % n) for n in range(5_000)]
    layer(tree, *old)
    changes = layer(tree, *new, removed=tuple(package.path for package in old))
    assert len(changes) == 5_000
    assert {change.kind for change in changes} == {PackageChangeKind.CHANGED}
