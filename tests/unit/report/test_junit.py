"""JUnit: refusals fail, doubts are errors, and no image breaks the XML."""

from dataclasses import replace
from xml.etree.ElementTree import Element, fromstring

from hypothesis import given
from hypothesis import strategies as st
from tests.unit.report.verdicts import ALERT, EVIL, MISSING, UNKNOWN, finding, judged

from layerproof.model.verdict import Decision
from layerproof.report.judged import Judged
from layerproof.report.junit import junit_text


def suites(*images: Judged) -> Element:
    return fromstring(junit_text(images))


def test_refusals_fail_doubts_are_errors_and_alerts_pass() -> None:
    root = suites(judged(finding(), UNKNOWN, on_image=(ALERT,)))
    (suite,) = root
    base, top, whole = suite.findall("testcase")
    assert [child.tag for child in base] == []
    assert [child.tag for child in top] == ["failure", "error"]
    assert [child.tag for child in whole] == ["system-out"]
    assert top[0].get("message") == "deletes /etc/shadow"
    assert "rebuild without it" in (top[0].text or "")
    counts = ("tests", "failures", "errors")
    assert [suite.get(name) for name in counts] == ["3", "1", "1"]
    assert [root.get(name) for name in counts] == ["3", "1", "1"]


def test_an_admitted_image_passes() -> None:
    root = suites(judged(decision=Decision.ADMIT), judged(decision=Decision.ADMIT))
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("6", "0", "0")


def test_an_image_refused_without_a_finding_does_not_pass() -> None:
    image = judged()
    image = replace(image, verdict=replace(image.verdict, notes=("no rule judged the image",)))
    (failure,) = suites(image).iter("failure")
    assert failure.get("message") == "no rule judged the image"


def test_an_image_that_could_not_be_read_is_an_error() -> None:
    root = fromstring(junit_text([], [MISSING]))
    (error,) = root.iter("error")
    assert "no such tag" in (error.get("message") or "")
    assert (root.get("tests"), root.get("errors")) == ("1", "1")


@given(text=st.text() | st.just(EVIL))
def test_whatever_an_image_says_the_document_is_well_formed(text: str) -> None:
    image = judged(finding(text, remedy=text, rule="x"), ALERT, on_image=(finding(text),))
    layers = tuple(replace(layer, created_by=text) for layer in image.image.layers)
    image = replace(image, image=replace(image.image, layers=layers))
    image = replace(image, verdict=replace(image.verdict, reference=text))
    assert len(suites(image)) == 1
