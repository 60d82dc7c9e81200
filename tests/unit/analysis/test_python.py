"""Metadata of installed Python distributions."""

import importlib.metadata
from email.parser import BytesParser
from pathlib import Path

import pytest
from tests.unit.analysis.layers import reasons, run

from layerproof.analysis.python import accepts

SITE = b"usr/lib/python3/dist-packages/"
METADATA = SITE + b"flask-3.0.3.dist-info/METADATA"


@pytest.mark.parametrize(
    "path",
    [
        METADATA,
        b"app/.venv/lib/python3.12/site-packages/a.dist-info/METADATA",
        b"pip/_vendor/a-1.dist-info/METADATA",
        SITE + b"a.egg-info/PKG-INFO",
        SITE + b"a-1.0.egg-info",
        SITE + b"a-1.0-py3.11.egg/EGG-INFO/PKG-INFO",
        b"EGG-INFO/PKG-INFO",
    ],
)
def test_metadata_of_an_installed_distribution_is_wanted(path: bytes) -> None:
    assert accepts(path)


@pytest.mark.parametrize(
    "path",
    [
        b"METADATA",
        b"usr/share/doc/METADATA",
        b"src/project-1.0/PKG-INFO",
        SITE + b"a.dist-info/PKG-INFO",
        SITE + b"a.dist-info/licenses/METADATA",
        SITE + b".egg-info",
    ],
)
def test_files_of_other_meaning_are_not_wanted(path: bytes) -> None:
    assert not accepts(path)
    assert run("python", {path: b"Name: a\nVersion: 1\n\n"}).package_files == ()


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
def test_name_version_and_licence_come_from_the_header_only(line_end: bytes) -> None:
    text = (
        b"Metadata-Version: 2.1\nName: Flask\nVersion: 3.0.3\nLicense: BSD-3-Clause\n"
        b"Summary: Name: evil\n\nName: body\nVersion: 9\nLicense-Expression: Evil\n"
    )
    facts = run("python", {METADATA: text.replace(b"\n", line_end)})
    (flask,) = facts.packages
    assert (flask.name, flask.version, flask.licence) == ("Flask", "3.0.3", "BSD-3-Clause")
    assert flask.path == METADATA
    assert flask.purl == "pkg:pypi/flask@3.0.3"
    assert facts.package_files == (METADATA,)


@pytest.mark.parametrize(
    ("fields", "licence"),
    [
        (b"License: old\nLicense-Expression: MIT OR Apache-2.0\n", "MIT OR Apache-2.0"),
        (b"License: UNKNOWN\nClassifier: License :: OSI Approved :: MIT License\n", "MIT License"),
        (b"Classifier: Topic :: License\n", ""),
        (b"License: MIT License\n        \n        Permission is hereby granted\n", "MIT License"),
        (b"License: " + b"x" * 9999 + b"\n", "x" * 256),
        (b"license: \xff\n", "\N{REPLACEMENT CHARACTER}"),
    ],
)
def test_licence_is_the_best_that_is_stated(fields: bytes, licence: str) -> None:
    (package,) = run("python", {METADATA: b"Name: a\nVersion: 1\n" + fields}).packages
    assert package.licence == licence


@pytest.mark.parametrize(
    "text",
    [
        b"Name: a\r\nVersion: 1\r\n\r\nVersion: 2\r\n",
        b"name: a\nVERSION : 1\n\n",
        b"Name: a\nName: b\nVersion: 1\nVersion: 2\n",
        b"Description: x\n        Version: 3\nName: a\nVersion: 1",
        b"Name: a\nVersion: 1\n\nbody\r\n\r\nName: b\n",
    ],
)
def test_header_is_read_as_email_reads_it(text: bytes) -> None:
    (package,) = run("python", {METADATA: text}).packages
    assert (package.name, package.version) == ("a", "1")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "no Name field"),
        (b"Name: a\n\nVersion: 1\n", "no Version field"),
        (b"Name: \xff\nVersion: 1\n", "Name field is not UTF-8"),
        (b"Name: a\nVersion: 1\0\n", "Version field holds characters"),
        (b"Name: a\nVersion: " + b"1" * 5000, "Version field is longer"),
        (b"x" * 3_000_000 + b"\nName: a\nVersion: 1\n\n", "no Name field"),
    ],
)
def test_unusable_metadata_is_reported_and_remembered_as_package_file(
    text: bytes, reason: str
) -> None:
    facts = run("python", {METADATA: text})
    assert facts.packages == ()
    assert facts.package_files == (METADATA,)
    assert reason in reasons(facts)


def test_everything_installed_beside_these_tests_is_read_as_email_reads_it() -> None:
    files = {}
    for distribution in importlib.metadata.distributions():
        folder = Path(str(distribution.locate_file(""))).resolve()
        for metadata in folder.glob("*.dist-info/METADATA"):
            files[bytes(metadata.relative_to("/"))] = metadata.read_bytes()
    facts = run("python", files)
    assert facts.skipped == ()
    assert len(facts.packages) == len(files) > 10
    for package in facts.packages:
        message = BytesParser().parsebytes(files[package.path], headersonly=True)
        assert (package.name, package.version) == (message["Name"], message["Version"])
