"""Verdicts as JUnit XML, the form that Jenkins and GitLab read. One document for all images.

A suite per image; a case per layer, and one for the image as a whole. Findings that refuse are
failures, what could not be told is an error, and so is an image that could not be read; alerts and
ignored findings are output of a case that passes.
"""

from collections.abc import Iterable, Sequence
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from layerproof.model.finding import Effect, Finding, Status
from layerproof.model.verdict import Decision, Verdict
from layerproof.report.judged import Failed, Judged
from layerproof.report.lines import command_text
from layerproof.rules.text import show_text


def junit_text(judged: Sequence[Judged], failed: Sequence[Failed] = ()) -> str:
    """The document. Well-formed whatever the images hold: nothing that does not print goes in."""
    root = Element("testsuites", name="layerproof")
    for each in judged:
        _suite(root, each)
    for failure in failed:
        _failed_suite(root, failure)
    totals = ("tests", "failures", "errors")
    for total in totals:
        root.set(total, str(sum(int(suite.get(total, "0")) for suite in root)))
    indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + tostring(root, encoding="unicode") + "\n"


def _suite(root: Element, judged: Judged) -> None:
    verdict, image = judged.verdict, judged.image
    name = show_text(verdict.reference, 1000)
    suite = SubElement(root, "testsuite", name=name)
    properties = SubElement(suite, "properties")
    for key, value in (
        ("decision", verdict.decision),
        ("verdict", verdict.verdict),
        ("manifestDigest", verdict.manifest_digest or ""),
        ("policy", verdict.inputs.get("policy", "")),
    ):
        SubElement(properties, "property", name=key, value=str(value))
    for layer in verdict.layers:
        command = command_text(image.layers[layer.position].created_by)
        title = f"layer {layer.position} {layer.chain_id.short} {command}".rstrip()
        _case(suite, name, title, layer.findings)
    _case(suite, name, "the image as a whole", verdict.findings)
    _close(suite, verdict)


def _close(suite: Element, verdict: Verdict) -> None:
    cases = suite.findall("testcase")
    if verdict.decision is Decision.REFUSE and not any(len(case) for case in cases):
        # refused without a finding: no rule judged
        note = "; ".join(verdict.notes) or "refused"
        SubElement(cases[-1], "failure", message=show_text(note, 1000), type="refused")
    suite.set("tests", str(len(cases)))
    suite.set("failures", str(sum(case.find("failure") is not None for case in cases)))
    suite.set("errors", str(sum(case.find("error") is not None for case in cases)))


def _case(suite: Element, image: str, title: str, findings: Iterable[Finding]) -> None:
    case = SubElement(suite, "testcase", classname=image, name=title)
    passing = []
    for finding in findings:
        if finding.effect is not Effect.REFUSE:
            passing.append(f"{finding.effect}: {_text(finding)}")
            continue
        kind = "error" if finding.status is Status.UNKNOWN else "failure"
        problem = SubElement(
            case, kind, type=finding.rule, message=show_text(finding.message, 1000)
        )
        problem.text = _text(finding)
    if passing:
        SubElement(case, "system-out").text = "\n".join(passing)


def _text(finding: Finding) -> str:
    doubt = " (cannot tell)" if finding.status is Status.UNKNOWN else ""
    message = show_text(finding.message, 4000)
    text = f"{finding.severity} {finding.rule}{doubt}: {message}"
    return f"{text}\n-> {show_text(finding.remedy, 4000)}" if finding.remedy else text


def _failed_suite(root: Element, failure: Failed) -> None:
    name = show_text(failure.reference, 1000)
    suite = SubElement(root, "testsuite", name=name, tests="1", failures="0", errors="1")
    case = SubElement(suite, "testcase", classname=name, name="the image as a whole")
    message = show_text(str(failure.error), 2000)
    problem = SubElement(case, "error", type=failure.error.code, message=message)
    problem.text = show_text(failure.error.remedy, 2000)
