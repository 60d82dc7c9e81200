"""What became of an operator's own cases."""

from collections.abc import Iterator, Sequence

import click

from layerproof.model.record import VerdictRecord
from layerproof.report.documents import API_VERSION, Document
from layerproof.report.lines import wrapped
from layerproof.rules.text import show_text


def case_lines(name: str, record: VerdictRecord | None, problems: Sequence[str]) -> Iterator[str]:
    """One line, and what differs."""
    good = not problems
    word = click.style("pass", fg="green") if good else click.style("FAIL", fg="red", bold=True)
    decision = str(record.verdict.decision) if record else "unreadable"
    yield f"{word}  {decision:7} {show_text(name, 200)}"
    for problem in problems:
        yield from wrapped(show_text(problem, 1000), "        ")


def case_document(
    file: str, name: str, record: VerdictRecord | None, problems: Sequence[str]
) -> Document:
    """One case for programs."""
    return {
        "apiVersion": API_VERSION,
        "kind": "PolicyTestResult",
        "file": file,
        "name": name,
        "passed": not problems,
        "decision": str(record.verdict.decision) if record else None,
        "verdict": str(record.verdict.verdict) if record else None,
        "problems": list(problems),
    }
