"""The documentation says what the program does."""

import importlib.util
import re
from dataclasses import fields
from pathlib import Path

import pytest

from layerproof import config
from layerproof.analysis.registry import ANALYSERS
from layerproof.oci.limits import Limits
from layerproof.rules.registry import RULES

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def test_command_reference_is_what_the_commands_say() -> None:
    path = ROOT / "scripts/command_reference.py"
    spec = importlib.util.spec_from_file_location("command_reference", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert page("reference/commands.md") == module.reference(), "run scripts/command_reference.py"


@pytest.mark.parametrize("limit", [f.name for f in fields(Limits)])
def test_every_limit_is_documented_with_its_default(limit: str) -> None:
    row = re.search(
        rf"^\| `LAYERPROOF_LIMIT_{limit.upper()}` \| ([^|]+) \| ([^|]+) \|$",
        page("reference/settings.md"),
        re.MULTILINE,
    )
    assert row is not None
    number, _, unit = row[1].strip().replace(",", "").partition(" ")
    factor = {"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "s": 1}[unit]
    assert int(number) * factor == getattr(Limits(), limit)
    assert row[2].strip()


def test_every_setting_is_documented() -> None:
    variables = set(re.findall(r"\b[A-Z]+_[A-Z_]*[A-Z]\b", config.__doc__ or ""))
    text = page("reference/settings.md")
    assert variables
    assert [v for v in variables if v not in text] == []


@pytest.mark.parametrize("analyser", [a.id for a in ANALYSERS])
def test_every_analyser_has_its_section(analyser: str) -> None:
    assert re.search(rf"^## .*\b{analyser}\b", page("reference/analysers.md"), re.MULTILINE)


@pytest.mark.parametrize("rule", [r.id for r in RULES])
def test_every_rule_has_its_page(rule: str) -> None:
    assert page(f"reference/rules/{rule}.md").startswith("# ")


def markdown() -> list[Path]:
    found = [*ROOT.glob("*.md"), *DOCS.rglob("*.md")]
    assert len(found) > 10
    return found


@pytest.mark.parametrize("path", markdown(), ids=lambda p: str(p.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (path.parent / target).exists(), target
