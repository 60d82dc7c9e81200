"""Packages found are those that Syft finds (docs/explanation/compared-with-syft.md)."""

import json
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.program import Program
from tests.e2e.real_images import RealImages

pytestmark = pytest.mark.real

DATA = Path(__file__).parents[3] / "shared" / "data" / "images"
ALPINE = ("3.10.3", "3.16.9", "3.20.3")
TYPES = {"deb": "deb", "apk": "apk", "python": "pypi", "npm": "npm"}
Found = Counter[tuple[str, str, str]]


def syft(*arguments: str) -> Found:
    program = shutil.which("syft") or str(Path(sys.executable).with_name("syft"))
    if not Path(program).exists():
        pytest.skip("Syft is not here (pip install layerproof[bench])")
    done = subprocess.run(
        [program, "scan", *arguments, "--output", "json", "--quiet"],
        check=True,
        capture_output=True,
        timeout=300,
    )
    return Counter(
        (TYPES.get(item["type"], item["type"]), _plain(item["name"]), item["version"])
        for item in json.loads(done.stdout)["artifacts"]
    )


def ours(program: Program, image: str) -> Found:
    done = subprocess.run(
        [sys.executable, "-m", "layerproof.cli.main", "sbom", image, "--index", str(program.index)],
        env=program.variables(),
        check=True,
        capture_output=True,
        timeout=300,
    )
    components: list[dict[str, Any]] = json.loads(done.stdout)["components"]
    return Counter(
        (item["purl"][4:].partition("/")[0], _plain(item["name"]), item["version"])
        for item in components
        if item["type"] == "library" and not _locked(item)
    )


def _locked(component: dict[str, Any]) -> bool:
    return any(item["name"] == "layerproof:locked" for item in component["properties"])


def _plain(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")


def _explained(item: tuple[str, str, str]) -> bool:
    """The entries of the page: what Syft lists without a version is no installed package."""
    return item[2] in ("", "UNKNOWN")


@pytest.mark.parametrize("tag", ["debian", "apt", "python", "node", "upgraded"])
def test_debian_python_and_node(tag: str, images: RealImages, tmp_path: Path) -> None:
    if tag not in images.tags:
        pytest.skip(f"no image {tag} was made")
    alone = tmp_path / "alone"  # Syft takes layouts of one image
    copy = ["skopeo", "copy", "--quiet", f"oci:{images.layout}:{tag}", f"oci:{alone}:{tag}"]
    subprocess.run(copy, check=True, timeout=120)
    expected = syft(f"oci-dir:{alone}")
    found = ours(Program(tmp_path / "index.db"), f"oci:{images.layout}:{tag}")
    assert found - expected == Counter()
    assert not [item for item in expected - found if not _explained(item)]
    assert sum(found.values()) > 50


@pytest.mark.parametrize("version", ALPINE)
def test_alpine(version: str, tmp_path: Path) -> None:
    archive = DATA / f"alpine-minirootfs-{version}-x86_64.tar.gz"
    if not archive.exists():
        pytest.skip("the shared data is not here")
    root = tmp_path / "root"
    root.mkdir()
    subprocess.run(["tar", "-xzf", str(archive), "-C", str(root)], check=False, timeout=60)
    expected = syft(f"dir:{root}")
    found = ours(Program(tmp_path / "index.db"), f"rootfs:{archive}")
    assert found == expected
    assert sum(found.values()) == 14
