"""Markdown: readable, short enough for a comment, and an image's text stays text."""

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.report.verdicts import ALERT, EVIL, UNKNOWN, finding, judged

from layerproof.model.verdict import Decision
from layerproof.report.markdown import MAX_CHARACTERS, code, markdown_text


def test_decision_layers_findings_and_remedies_are_there() -> None:
    text = markdown_text(judged(finding(), UNKNOWN, on_image=(ALERT,)))
    assert text.startswith("### ⛔ refuse: `docker://registry.example/team/app:1.4`\n")
    assert "Base: `docker://registry.example/golden:12` (1 layer)" in text
    assert "| ✅ trusted | 0 " in text
    assert "| ⛔ untrusted | 1 " in text
    assert "- **high** `protected-path`:\n  `deletes /etc/shadow`" in text
    assert "What to do: `rebuild without it`" in text
    assert "`protected-path`, cannot tell:" in text
    assert "`lying-base-label`, alert:" in text
    assert text.count("<details open>") == text.count("</details>") == 2


def test_an_admitted_image_has_no_findings_to_open() -> None:
    text = markdown_text(judged(decision=Decision.ADMIT))
    assert text.startswith("### ✅ admit")
    assert "<details" not in text


def test_thousands_of_findings_are_cut_with_a_note() -> None:
    many = [finding(f"deletes /usr/{n}/{'x' * 500}") for n in range(60)]
    images = judged(*many, on_image=tuple(many))
    text = markdown_text(images)
    assert len(text) <= MAX_CHARACTERS
    assert "findings do not fit" in text
    assert text.count("<details open>") == text.count("</details>")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a", "`a`"),
        ("", ""),
        ("   ", ""),
        ("a`b", "`` a`b ``"),
        ("``", "``` `` ```"),
        ("a\nb", "`a\\nb`"),
    ],
)
def test_a_code_span_holds_its_text(text: str, shown: str) -> None:
    assert code(text) == shown


def outside(line: str) -> str:
    """What a line holds outside its code spans (GFM section 6.3: a run of backticks of the same
    length closes)."""
    return re.sub(r"(?<!`)(`+)(?!`)(.*?)(?<!`)\1(?!`)", "", line)


@given(text=st.text(alphabet="`|\\<>@[]()#a \n\x1b&_*~") | st.text() | st.just(EVIL))
def test_nothing_that_an_image_says_is_markup(text: str) -> None:
    image = judged(finding(text, remedy=text), on_image=(finding(text),))
    layers = tuple(replace(layer, created_by="x" + text) for layer in image.image.layers)
    image = replace(image, image=replace(image.image, layers=layers))
    image = replace(image, verdict=replace(image.verdict, notes=(text,), reference="x" + text))
    plain = markdown_text(judged(finding("x"), on_image=(finding("x"),)))
    allowed = {outside(line).strip() for line in plain.splitlines()} | {"Note:", ""}
    for line in markdown_text(image).splitlines():
        left = outside(line).strip()
        left = re.sub(r"\b\d+ [\w]+ \|", "", left) if left.startswith("|") else left
        assert not set(left) & set("@[]<>`") or left in allowed, line
        assert line.count("|") == 6 or not line.startswith("|"), line
