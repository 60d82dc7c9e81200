"""SARIF: what viewers need is there, the same finding is recognised again, nothing is lost."""

import json
from dataclasses import replace
from urllib.parse import urlsplit

import pytest
from tests.unit.report.verdicts import ALERT, EVIL, MISSING, UNKNOWN, finding, judged

from layerproof.model.finding import Effect
from layerproof.model.verdict import Decision
from layerproof.report.judged import Judged
from layerproof.report.sarif import Document, sarif_document
from layerproof.rules.registry import RULES


def results(*images: Judged) -> list[Document]:
    found: list[Document] = sarif_document(images)["runs"][0]["results"]
    return found


def test_every_finding_is_a_result_with_rule_level_and_layer() -> None:
    image = judged(finding(), UNKNOWN, on_image=(ALERT,))
    on_image, deleted, unknown = results(image)
    assert [r["level"] for r in (on_image, deleted, unknown)] == ["warning", "error", "error"]
    assert RULES[deleted["ruleIndex"]].id == deleted["ruleId"] == "protected-path"
    assert "deletes /etc/shadow" in deleted["message"]["text"]
    assert "rebuild without it" in deleted["message"]["text"]
    assert unknown["message"]["text"].startswith("cannot tell: ")
    (place,) = deleted["locations"][0]["logicalLocations"]
    assert image.image.layers[1].chain_id in place["fullyQualifiedName"]
    assert on_image["locations"][0]["logicalLocations"][0]["kind"] == "image"


@pytest.mark.parametrize(
    ("reference", "uri"),
    [
        ("docker://registry.example/team/app:1.4", "registry.example/team/app%3A1.4"),
        ("oci:demo/images:x", "demo/images%3Ax"),
        ("docker://registry.example:5000/a b", "registry.example%3A5000/a%20b"),
    ],
)
def test_locations_are_relative_uris(reference: str, uri: str) -> None:
    (result,) = results(judged(finding(), reference=reference))
    found = result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
    assert found == uri
    assert not urlsplit(found).scheme


def fingerprint(image: Judged) -> object:
    (result,) = results(image)
    return result["partialFingerprints"]["layerproof/v1"]


def test_the_same_finding_is_recognised_in_the_next_run_and_another_is_not() -> None:
    assert fingerprint(judged(finding())) == fingerprint(judged(finding()))
    assert fingerprint(judged(finding())) != fingerprint(judged(finding("deletes /etc/passwd")))
    assert fingerprint(judged(finding())) != fingerprint(judged(finding(rule="trusted-base")))


def test_findings_on_the_image_are_the_same_for_every_tag() -> None:
    one = judged(on_image=(finding(),), reference="docker://registry.example:5000/app:1")
    two = judged(on_image=(finding(),), reference="docker://registry.example:5000/app:2")
    other = judged(on_image=(finding(),), reference="docker://registry.example:5000/other:2")
    assert fingerprint(one) == fingerprint(two) != fingerprint(other)


def test_what_an_exception_freed_is_suppressed_with_its_reason() -> None:
    by = {"owner": "alice", "reason": "for now", "until": "2027-01-31"}
    (result,) = results(judged(finding(effect=Effect.IGNORE, evidence={"exception": by})))
    assert result["level"] == "note"
    (suppression,) = result["suppressions"]
    assert suppression == {
        "kind": "external",
        "justification": "for now (alice, until 2027-01-31)",
    }
    assert "suppressions" not in results(judged(finding()))[0]


def test_an_image_that_could_not_be_read_is_told_and_the_run_was_no_success() -> None:
    (run,) = sarif_document([judged(decision=Decision.ADMIT)], [MISSING])["runs"]
    (invocation,) = run["invocations"]
    assert invocation["executionSuccessful"] is False
    (note,) = invocation["toolExecutionNotifications"]
    assert "no such tag" in note["message"]["text"]
    assert "look" in note["message"]["text"]
    assert run["properties"]["images"][0]["decision"] == "admit"


def test_without_images_there_is_an_empty_run() -> None:
    (run,) = sarif_document([])["runs"]
    assert run["results"] == []
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == [r.id for r in RULES]


def test_hostile_text_is_printable_json() -> None:
    image = judged(finding(EVIL), reference="docker://registry.example/app")
    image = replace(image, verdict=replace(image.verdict, reference=EVIL))
    text = json.dumps(sarif_document([image]), ensure_ascii=False)
    assert text.isprintable()
    assert json.loads(text)
