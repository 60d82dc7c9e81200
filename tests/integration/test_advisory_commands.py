"""`advisories`, `vulnerabilities` and `sbom` as people run them, on images of the shared data."""

import json
import shutil
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from spdx_tools.spdx.parser.json.json_parser import parse_from_file
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

from layerproof.cli.main import run
from layerproof.feeds.build import build as build_file
from layerproof.feeds.build import feed_of
from layerproof.feeds.documents import containers
from layerproof.testing.images import build, write_oci_layout

DATA = Path(__file__).parents[3] / "shared" / "data"
ALPINE = DATA / "images" / "alpine-minirootfs-3.10.3-x86_64.tar.gz"
# By hand: secdb v3.10's fixes of the origins of the 14 packages, newer than what is installed.
EXPECTED = {
    "apk-tools": {"CVE-2021-30139", "CVE-2021-36159"},
    "busybox": {"CVE-2021-28831"},
    "ssl_client": {"CVE-2021-28831"},
    "musl": {"CVE-2020-28928"},
    "musl-utils": {"CVE-2020-28928"},
    "libcrypto1.1": {"CVE-2019-1551", "CVE-2020-1967", "CVE-2020-1971", "CVE-2021-23839",
                     "CVE-2021-23840", "CVE-2021-23841", "CVE-2021-3449", "CVE-2021-3450"},
}  # fmt: skip
EXPECTED["libssl1.1"] = EXPECTED["libcrypto1.1"]

Run = Any


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not DATA.is_dir():
        pytest.skip("the shared data is not here")
    folder = tmp_path_factory.mktemp("commands")
    found = [c for name in ("alpine-secdb", "kev-eol") for c in containers(DATA / name)]
    build_file(folder / "advisories.db", [feed_of(c, None, ()) for c in found], datetime.now(UTC))
    (folder / "p.yaml").write_text(
        "apiVersion: layerproof/v1\nkind: Policy\nrules: {vulnerable-package: {maxAgeDays: 9999}}\n"
    )
    return folder


@pytest.fixture(autouse=True)
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("LAYERPROOF_INDEX", str(folder / "index.db"))
    monkeypatch.setenv("COLUMNS", "80")


def output(capsys: pytest.CaptureFixture[str], *command: str, code: int = 0) -> str:
    capsys.readouterr()
    assert run(command) == code
    return capsys.readouterr().out


def test_without_advisories_the_remedy_is_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LAYERPROOF_ADVISORIES", str(tmp_path / "none.db"))
    assert run(["vulnerabilities", str(ALPINE)]) == 3
    assert "layerproof advisories update" in capsys.readouterr().err
    assert "no advisories yet" in output(capsys, "advisories", "status")


def test_what_is_found_in_a_real_image_is_what_a_hand_check_says(
    capsys: pytest.CaptureFixture[str],
) -> None:
    said = output(capsys, "advisories", "import", str(DATA / "alpine-secdb"), str(DATA / "kev-eol"))
    assert "covers Alpine" in said
    assert "records were skipped" in said
    document = json.loads(output(capsys, "vulnerabilities", str(ALPINE), "-o", "json"))
    found: dict[str, set[str]] = {}
    for item in document["vulnerabilities"]:
        name = item["purl"].partition("@")[0].rpartition("/")[2]
        found.setdefault(name, set()).add(item["id"])
        assert item["layer"] == 0
    assert found == EXPECTED
    assert document["packages"] == 14


def test_people_read_two_lines_of_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    text = output(capsys, "vulnerabilities", str(ALPINE))
    assert all(len(line) <= 80 for line in text.splitlines())
    assert "busybox (+1) 1.30.1-r2 -> 1.30.1-r5" in text
    assert "12 vulnerabilities in 7 of 14 packages" in text
    status = output(capsys, "advisories", "status")
    assert all(len(line) <= 80 for line in status.splitlines())
    fixed = output(capsys, "vulnerabilities", str(ALPINE), "--level", "high", "--fixed")
    assert "CVE-2021-36159" in fixed


def test_a_check_names_the_layer_that_brought_it(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = build([{"etc/os-release": "ID=alpine\nVERSION_ID=3.10.3\n"}])
    database = "P:busybox\nV:1.30.1-r2\nA:x86_64\nL:GPL2\no:busybox\n\n"
    app = build([{"srv/x": "x"}, {"lib/apk/db/installed": database}], base=base)
    write_oci_layout(folder / "i", {"base": base, "app": app})
    output(capsys, "trust", "add", "oci:i:base", "-r", "base")
    text = output(capsys, "check", "oci:i:app", "--policy", "p.yaml", code=1)
    assert "busybox 1.30.1-r2 has CVE-2021-28831 (high, fixed in 1.30.1-r5)" in text
    command = ("check", "oci:i:app", "--policy", "p.yaml", "-o", "json")
    verdict = json.loads(output(capsys, *command, code=1))
    assert verdict["inputs"]["advisories"].startswith("sha256:")
    rules = Counter(f["rule"] for layer in verdict["layers"] for f in layer["findings"])
    assert rules["vulnerable-package"] == 1
    assert [f["rule"] for f in verdict["layers"][2]["findings"]].count("vulnerable-package") == 1


def test_vulnerabilities_of_one_package_are_told_together(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = output(capsys, "check", str(ALPINE), "--policy", "p.yaml", code=1)
    # the image's own name is never broken
    assert all(len(line) <= 80 for line in text.splitlines() if ALPINE.name not in line)
    assert "libcrypto1.1 1.1.1d-r0 (and 1 package of openssl) has 8 vulnerabilities" in text
    assert "-> build the layer again with openssl 1.1.1k-r0 or newer" in text  # frees of all
    assert text.count("build the layer again with openssl") == 1
    assert "outdated-package, ignore: " in text


def test_removing_a_feed(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    shutil.copy(folder / "advisories.db", tmp_path / "a.db")
    monkeypatch.setenv("LAYERPROOF_ADVISORIES", str(tmp_path / "a.db"))
    output(capsys, "advisories", "remove", "kev-eol")
    assert "kev-eol" not in output(capsys, "advisories", "status")
    assert run(["advisories", "remove", "kev-eol"]) == 2


@pytest.mark.parametrize("image", [ALPINE.name, "scalibr-basic.tar", "ggcr-whiteout_image.tar"])
def test_bills_of_materials_are_valid(
    image: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(DATA / "images" / image)
    cyclonedx = output(capsys, "sbom", path)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(cyclonedx) is None
    document = json.loads(cyclonedx)
    for component in document["components"]:
        if component["type"] == "library":
            names = {item["name"] for item in component["properties"]}
            assert {"layerproof:layer", "layerproof:chainId", "layerproof:path"} <= names
    spdx = folder / "image.spdx.json"
    spdx.write_text(output(capsys, "sbom", path, "--output", "spdx-json"))
    assert validate_full_spdx_document(parse_from_file(str(spdx))) == []
    packages = json.loads(spdx.read_text())["packages"]
    assert len(packages) == 1 + sum(c["type"] == "library" for c in document["components"])


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        (["import", "nowhere.zip"], "check the path"),
        (["import", "empty"], "give files"),
        (["import", "a.json", "b.json", "--name", "x"], "import one PATH"),
        (["import", "a.json", "--as-of", "yesterday"], "for example 2026"),
        (["update", "Debain"], "one of: PyPI"),
    ],
)
def test_mistakes_teach(
    arguments: list[str], remedy: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "empty").mkdir(exist_ok=True)
    for name in ("a.json", "b.json"):
        (folder / name).write_text("{}")
    assert run(["advisories", *arguments]) in (2, 3)
    assert remedy in capsys.readouterr().err
