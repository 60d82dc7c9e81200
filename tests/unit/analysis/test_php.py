"""What Composer installed, and what it locks."""

import json

from tests.unit.analysis.layers import names, reasons, run

PACKAGES = [{"name": "symfony/http-kernel", "version": "v5.4.20", "license": ["MIT"]}]


def test_installed_packages_of_both_versions_of_composer() -> None:
    for document in ({"packages": PACKAGES}, PACKAGES):
        path = b"app/vendor/composer/installed.json"
        (package,) = run("php", {path: json.dumps(document).encode()}).packages
        assert package.purl == "pkg:composer/symfony/http-kernel@v5.4.20"
        assert (package.licence, package.locked) == ("MIT", False)


def test_locked_packages_are_marked() -> None:
    data = json.dumps({"packages": PACKAGES, "packages-dev": []}).encode()
    (package,) = run("php", {b"app/composer.lock": data}).packages
    assert package.locked


def test_other_files_of_the_name_are_not_wanted() -> None:
    assert run("php", {b"app/data/installed.json": b"{}"}).package_files == ()


def test_hostile_files_are_reported() -> None:
    for data in (b"", b"{}", b'{"packages": [1]}', b'{"packages": [{"name": 1}]}'):
        facts = run("php", {b"vendor/composer/installed.json": data})
        assert names(facts.packages) == []
        assert reasons(facts)
