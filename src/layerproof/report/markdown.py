"""A verdict as GitHub-flavoured Markdown, for a comment on a pull request.

Everything that an image's author could have written stands in code spans (GFM section 6.3): there,
neither markup nor HTML nor mentions nor links mean anything.
"""

import re
from collections.abc import Iterator

from layerproof.model.finding import Effect, Finding, Status
from layerproof.model.image import Image
from layerproof.model.verdict import Decision, LayerVerdict, Trust, Verdict
from layerproof.report.judged import Judged, digest_of
from layerproof.report.lines import command_text, human
from layerproof.rules.text import plural, show_text

MAX_CHARACTERS = 60_000  # of one image; GitHub takes comments of up to 65,536
_MAX_LAYERS = 200  # rows of the table
_MARKS = {Decision.ADMIT: "✅", Decision.ALERT: "⚠️", Decision.REFUSE: "⛔"}
_TRUST_MARKS = {Trust.TRUSTED: "✅", Trust.UNDECIDED: "❔", Trust.UNTRUSTED: "⛔"}


def markdown_text(judged: Judged) -> str:
    """One section. Cut with a note when it would be too long for a comment."""
    lines = list(_head(judged.verdict, judged.image))
    size = sum(len(line) + 1 for line in lines)
    cut = False
    for block in _findings(judged.verdict, judged.image):
        if size + len(block) + 1 > MAX_CHARACTERS - 200:
            cut = True
            break
        lines.append(block)
        size += len(block) + 1
    if cut:
        lines.append("_More findings do not fit here: run `layerproof check` for all of them._\n")
    return "\n".join(lines)


def _head(verdict: Verdict, image: Image) -> Iterator[str]:
    mark, decision = _MARKS[verdict.decision], str(verdict.decision)
    yield f"### {mark} {decision}: {code(verdict.reference)}\n"
    if verdict.message:
        yield f"{code(verdict.message)}\n"
    base = verdict.base
    if base is None:
        yield "No trusted image is its base.  "
    else:
        yield f"Base: {code(base.trusted_image)} ({plural(base.layers, 'layer')}).  "
    yield f"Judged: {code(digest_of(verdict))}\n"
    for note in verdict.notes:
        yield f"Note: {code(note)}\n"
    yield "| | layer | size | command | findings |"
    yield "| --- | --- | ---: | --- | --- |"
    for layer in verdict.layers[:_MAX_LAYERS]:
        yield _row(layer, image)
    if len(verdict.layers) > _MAX_LAYERS:
        yield f"| | … {len(verdict.layers) - _MAX_LAYERS} more | | | |"
    yield ""


def _row(layer: LayerVerdict, image: Image) -> str:
    facts = image.layers[layer.position]
    size = human(facts.blob.size) if facts.blob else ""
    what = "base" if layer.in_base else code(command_text(facts.created_by)[:80], table=True)
    rules = ", ".join(dict.fromkeys(finding.rule for finding in layer.findings))
    mark = f"{_TRUST_MARKS[layer.verdict]} {layer.verdict}"
    return f"| {mark} | {layer.position} `{layer.chain_id.short}` | {size} | {what} | {rules} |"


def _findings(verdict: Verdict, image: Image) -> Iterator[str]:
    if verdict.findings:
        yield _details("The image as a whole", verdict.findings)
    for layer in verdict.layers:
        if layer.findings:
            yield _details(f"Layer {layer.position} {layer.chain_id.short}", layer.findings)


def _details(title: str, findings: tuple[Finding, ...]) -> str:
    lines = [f"<details open><summary>{title}: {plural(len(findings), 'finding')}</summary>\n"]
    for finding in findings:
        doubt = ", cannot tell" if finding.status is Status.UNKNOWN else ""
        effect = "" if finding.effect is Effect.REFUSE else f", {finding.effect}"
        if "exception" in finding.evidence:
            effect = ", excused"
        lines.append(f"- **{finding.severity}** `{finding.rule}`{doubt}{effect}:")
        lines.append(f"  {code(finding.message, limit=2000)}")
        if finding.remedy:
            lines.append(f"  What to do: {code(finding.remedy, limit=2000)}")
    return "\n".join([*lines, "\n</details>\n"])


def code(text: str, *, limit: int = 500, table: bool = False) -> str:
    """`text` as a code span on one line; "" stays "". In a table, a bar would end the cell even
    inside a code span (GFM section 4.10), and a backslash of the text would undo its escape."""
    shown = show_text(text, limit).strip()
    if not shown:
        return ""
    if table:
        shown = shown.replace("|", "¦")
    longest = max((len(run) for run in re.findall("`+", shown)), default=0)
    fence = "`" * (longest + 1)
    pad = " " if longest else ""
    return f"{fence}{pad}{shown}{pad}{fence}"
