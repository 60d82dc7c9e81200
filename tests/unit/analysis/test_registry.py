"""Whatever is registered is documented, versioned and tested."""

import re
from pathlib import Path

import pytest

from layerproof.analysis.interface import Analyser
from layerproof.analysis.registry import ANALYSERS, analysers_key, dispatch

REPOSITORY = Path(__file__).resolve().parents[3]


def test_key_names_every_version_sorted() -> None:
    expected = (
        "apk@1 dotnet@1 dpkg@1 entries@2 go@1 java@1 manifests@1 node-locks@1 node@1 os-release@1 "
        "php@1 privileges@1 programs@1 python@1 rpm@1 ruby@1 rust@1 scripts@1 secrets@1"
    )
    assert analysers_key(ANALYSERS) == expected
    assert analysers_key(reversed(ANALYSERS)) == expected
    assert analysers_key(()) == ""


def test_ids_are_unique_kebab_case() -> None:
    ids = [analyser.id for analyser in ANALYSERS]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", name) for name in ids)


@pytest.mark.parametrize("analyser", ANALYSERS, ids=lambda analyser: analyser.id)
def test_analyser_has_a_file_a_test_and_a_section(analyser: Analyser) -> None:
    module = analyser.id.replace("-", "_")
    assert (REPOSITORY / "src/layerproof/analysis" / f"{module}.py").is_file()
    assert (Path(__file__).parent / f"test_{module}.py").is_file()
    page = (REPOSITORY / "docs/reference/analysers.md").read_text()
    assert f"\n## `{analyser.id}`\n" in page


def test_every_file_of_the_folder_that_looks_like_an_analyser_is_registered() -> None:
    folder = REPOSITORY / "src/layerproof/analysis"
    written = {
        found[1]
        for file in folder.glob("*.py")
        for found in re.finditer(r"^class (\w+Analyser)\b", file.read_text(), re.MULTILINE)
    }
    assert written == {type(analyser).__name__ for analyser in ANALYSERS}


def test_dispatch_knows_all() -> None:
    assert dispatch().analysers == ANALYSERS
