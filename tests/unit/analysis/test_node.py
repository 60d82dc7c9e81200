"""Manifests of installed Node packages."""

import json
import subprocess
import sys

import pytest
from tests.unit.analysis.layers import reasons, run

from layerproof.analysis.node import accepts

EXPRESS = b"app/node_modules/express/package.json"


@pytest.mark.parametrize(
    "path",
    [
        EXPRESS,
        b"node_modules/a/package.json",
        b"app/node_modules/@babel/core/package.json",
        b"app/node_modules/a/node_modules/b/package.json",
        b"app/node_modules/.pnpm/a@1.0.0/node_modules/a/package.json",
        b"usr/share/nodejs/express/package.json",
        b"app/package.json",
        b"package.json",
        b"x_node_modules/a/b/c/package.json",
    ],
)
def test_places_of_packages_are_wanted(path: bytes) -> None:
    assert accepts(path)


@pytest.mark.parametrize(
    "path",
    [
        b"app/node_modules/package.json",
        b"app/node_modules/@babel/package.json",
        b"app/node_modules/a/dist/esm/package.json",
        b"app/node_modules/a/test/fixtures/package.json",
        b"app/node_modules/@babel/core/lib/package.json",
        b"app/node_modules/.cache/package.json",
    ],
)
def test_what_node_does_not_resolve_is_no_installed_package(path: bytes) -> None:
    assert not accepts(path)
    assert run("node", {path: b'{"name":"a","version":"1"}'}).package_files == ()


@pytest.mark.parametrize(
    ("fields", "licence"),
    [
        ({"license": "MIT"}, "MIT"),
        ({"license": {"type": "ISC", "url": "https://example.org"}}, "ISC"),
        ({"licenses": [{"type": "MIT"}, {"type": "Apache-2.0"}]}, "MIT OR Apache-2.0"),
        ({"licenses": ["MIT", 5, None]}, "MIT"),
        ({"licenses": "BSD"}, "BSD"),
        ({"license": ["MIT"]}, ""),
        ({"license": {"type": 5}}, ""),
        ({}, ""),
    ],
)
def test_licence_in_all_its_historic_forms(fields: dict[str, object], licence: str) -> None:
    text = json.dumps({"name": "@scope/a", "version": "1.2.3", **fields}).encode()
    facts = run("node", {EXPRESS: text})
    (package,) = facts.packages
    assert (package.name, package.version, package.licence) == ("@scope/a", "1.2.3", licence)
    assert package.purl == "pkg:npm/%40scope/a@1.2.3"
    assert facts.skipped == ()


def test_byte_order_mark_and_duplicate_keys_are_read_as_node_does() -> None:
    text = b'\xef\xbb\xbf{"name":"a","version":"1","version":"2"}'
    assert run("node", {EXPRESS: text}).packages[0].version == "2"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "not a JSON object"),
        (b"{", "not a JSON object"),
        (b"[]", "not a JSON object"),
        (b'"text"', "not a JSON object"),
        (b"{{ cookiecutter }}", "not a JSON object"),
        (b"\xff\xfe{}", "not a JSON object"),
        (b'{"name":' + b"[" * 200_000, "not a JSON object"),
        (b'{"x":' + b"[" * 200_000, "not a JSON object"),
        (b'{"name":"a"}', "no version"),
        (b'{"version":"1"}', "no name"),
        (b'{"name":"","version":"1"}', "no name"),
        (b'{"name":5,"version":"1"}', "name is not a string"),
        (b'{"name":"a","version":{"x":1}}', "version is not a string"),
        (b'{"name":"a\\u0000","version":"1"}', "name holds characters"),
        (b'{"name":"a\\nb","version":"1"}', "name holds characters"),
        (b'{"name":"a\xff","version":"1"}', "not a JSON object"),
        (b'{"name":"' + b"a" * 5000 + b'","version":"1"}', "name is longer"),
    ],
)
def test_unusable_manifest_of_an_installed_package_is_reported(text: bytes, reason: str) -> None:
    facts = run("node", {EXPRESS: text})
    assert facts.packages == ()
    assert facts.package_files == (EXPRESS,)
    assert reason in reasons(facts)


def test_lone_surrogate_never_becomes_a_name() -> None:
    facts = run("node", {EXPRESS: b'{"name":"a\\ud800 ","version":"1"}'})
    assert facts.packages == ()
    assert len(facts.skipped) == 1


@pytest.mark.parametrize("text", [b'{"type":"module"}', b'{"name":"app"}', b'{"version":"1"}'])
def test_project_without_name_or_version_is_no_package_and_no_report(text: bytes) -> None:
    facts = run("node", {b"app/package.json": text})
    assert facts.packages == ()
    assert facts.skipped == ()


def test_application_with_name_and_version_is_a_package() -> None:
    facts = run("node", {b"app/package.json": b'{"name":"app","version":"0.1.0"}'})
    assert facts.packages[0].name == "app"


def test_list_of_analysers_loads_nothing_heavy() -> None:
    code = (
        "import sys, layerproof.analysis.registry;"
        "print([m for m in ('msgspec', 'email', 'json', 'asyncio') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
