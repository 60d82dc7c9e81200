"""Plain lines for people where start-up time counts: no table library is loaded for them."""

import os
import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import click

from layerproof.analysis.secret_formats import mask_secrets
from layerproof.engine.needs import Indexed, Need
from layerproof.model.finding import Effect, Finding, Severity, Status
from layerproof.model.image import Image
from layerproof.model.verdict import Decision, LayerVerdict, Trust, Verdict
from layerproof.rules.text import plural, show_text

_DECISION_COLOUR = {Decision.ADMIT: "green", Decision.ALERT: "yellow", Decision.REFUSE: "red"}
_TRUST_COLOUR = {Trust.TRUSTED: "green", Trust.UNDECIDED: "yellow", Trust.UNTRUSTED: "red"}
_SEVERITY_COLOUR = {
    Severity.LOW: "cyan",
    Severity.MEDIUM: "yellow",
    Severity.HIGH: "red",
    Severity.CRITICAL: "bright_red",
}
_UNITS = ("B", "kB", "MB", "GB", "TB")


def width() -> int:
    """Columns to use: the terminal's, 80 where there is none, never unreadably wide."""
    columns = os.environ.get("COLUMNS", "")
    if columns.isascii() and columns.isdigit() and int(columns) > 0:
        return min(int(columns), 120)
    try:
        # Not shutil's: importing that costs every start 5 ms.
        return min(os.get_terminal_size(1).columns or 80, 120)
    except OSError:
        return 80


def has_width() -> bool:
    """Whether there is a terminal, or somebody said how wide it is."""
    if os.environ.get("COLUMNS", "").isdigit():
        return True
    try:
        os.get_terminal_size(1)
    except OSError:
        return False
    return True


def human(count: int | None) -> str:
    """Bytes in decimal units, three digits."""
    if count is None:
        return "-"
    value, unit = float(count), 0
    while value >= 999.5 and unit < len(_UNITS) - 1:
        value /= 1000
        unit += 1
    return f"{count} B" if unit == 0 else f"{value:.3g} {_UNITS[unit]}"


def indexed_lines(indexed: Indexed) -> Iterator[str]:
    """What one run of the indexer did."""
    image = indexed.image
    yield f"{show_text(image.reference)}  {plural(len(image.layers), 'layer')}"
    sizes = {la.position: la.blob.size if la.blob else None for la in image.layers}
    for need, words in (
        (Need.READ, "read"),
        (Need.VERIFY, "known contents, blob verified"),
        (Need.NOTHING, "known, not read"),
    ):
        positions = indexed.positions(need)
        if positions:
            stated = [size for p in positions if (size := sizes[p]) is not None]
            total = f", {human(sum(stated))}" if stated else ""
            yield f"  {plural(len(positions), 'layer')} {words}{total}"
    for note in image.notes:
        yield f"  note: {show_text(note)}"


def verdict_lines(verdict: Verdict, image: Image | None, *, quiet: bool) -> Iterator[str]:
    """The decision, the stack of layers, each finding with what to do. Without the image, nothing
    is said about how its layers were made."""
    decision = click.style(
        str(verdict.decision).upper(), fg=_DECISION_COLOUR[verdict.decision], bold=True
    )
    yield f"{decision}  {show_text(verdict.reference, 500)}"
    if quiet:
        return
    if verdict.message:
        yield from wrapped(show_text(verdict.message, 1000), "  ")
    yield f"  {_base_line(verdict)}"
    for note in verdict.notes:
        yield from wrapped(f"note: {show_text(note, 1000)}", "  ")
    yield ""
    for layer in verdict.layers:
        yield _layer_line(layer, image)
    for layer in verdict.layers:
        if any(map(_told, layer.findings)):
            yield ""
            yield from _layer_findings(layer, image)
    if any(map(_told, verdict.findings)):
        yield ""
        yield "  the image as a whole"
        yield from findings_lines(verdict.findings)


def _told(finding: Finding) -> bool:
    """Not what a rule that the policy ignores cannot tell: machine output has it."""
    excused = "exception" in finding.evidence
    return finding.status is Status.FAIL or finding.effect is not Effect.IGNORE or excused


def _base_line(verdict: Verdict) -> str:
    base = verdict.base
    if base is None:
        return "base: none of the layers is the top of a trusted image"
    return f"base: {show_text(base.trusted_image)} ({plural(base.layers, 'layer')})"


def _layer_line(layer: LayerVerdict, image: Image | None) -> str:
    facts = image.layers[layer.position] if image else None
    size = human(facts.blob.size) if facts and facts.blob else "-"
    word = click.style(f"{layer.verdict!s:9}", fg=_TRUST_COLOUR[layer.verdict])
    what = "base" if layer.in_base else command_text(facts.created_by if facts else None)
    line = f"  {layer.position:3} {layer.chain_id.short} {size:>8}  {word}  {what}"
    # The colour codes take no columns.
    return line[: width() + len(word) - 9]


def _layer_findings(layer: LayerVerdict, image: Image | None) -> Iterator[str]:
    created_by = command_text(image.layers[layer.position].created_by if image else None)
    yield f"  layer {layer.position} {layer.chain_id.short}  {created_by}"[: width()]
    yield from findings_lines(layer.findings)


_MAX_IGNORED = 3  # findings of one rule on one layer


def findings_lines(findings: Sequence[Finding]) -> Iterator[str]:
    """One after the other, the vulnerabilities of one package together; of what a rule says that
    the policy ignores, only the number, if it is much."""
    groups: dict[object, list[Finding]] = {}
    ignored = Counter(finding.rule for finding in findings if _is_ignored(finding))
    for number, finding in enumerate(filter(_told, findings)):
        if _is_ignored(finding) and ignored[finding.rule] > _MAX_IGNORED:
            continue
        evidence = finding.evidence
        key: object = number
        if "vulnerability" in evidence and "exception" not in evidence and "vex" not in evidence:
            key = (finding.rule, finding.status, finding.effect, str(evidence["packages"]))
        groups.setdefault(key, []).append(finding)
    for group in groups.values():
        yield from finding_lines(group[0]) if len(group) == 1 else _vulnerabilities(group)
    for rule, count in sorted(ignored.items()):
        if count > _MAX_IGNORED:
            yield f"    {rule}, ignore: {plural(count, 'finding')} (--output json has them)"


def _is_ignored(finding: Finding) -> bool:
    reasons = ("exception", "vex", "note")
    told = any(finding.evidence.get(reason) for reason in reasons)
    return finding.effect is Effect.IGNORE and finding.status is Status.FAIL and not told


def _vulnerabilities(findings: Sequence[Finding]) -> Iterator[str]:
    """Those of one package, worst first as they come, with the fix that frees of all."""
    from layerproof.advisories.ecosystems import scheme_of  # here: few verdicts need them
    from layerproof.advisories.order import key

    first = findings[0]
    name, _, _ = first.message.partition(" has ")
    note = f"; {first.evidence['note']}" if first.evidence.get("note") else ""
    message = f"{name} has {len(findings)} vulnerabilities{note}"
    together = replace(first, message=message, remedy="")
    yield from finding_lines(together)
    for finding in findings:
        evidence = finding.evidence
        level = "unrated" if evidence["level"] == "unknown" else str(evidence["level"])
        fixed = f"-> {evidence['fixed']}" if evidence["fixed"] else "no fix"
        since = evidence["exploitedSince"]
        marks = f", exploited since {since}" if since else ""
        line = f"        {level:9} {evidence['vulnerability']!s:17} {fixed}{marks}"
        yield line if len(line) <= width() else line[: width() - 1] + "…"
    scheme = scheme_of(str(first.evidence["ecosystem"]))
    last = max(findings, key=lambda f: key(scheme, str(f.evidence["fixed"] or "")))
    yield from wrapped("-> " + show_text(last.remedy, 2000), "      ", "         ")


def finding_lines(finding: Finding) -> Iterator[str]:
    """One finding with what to do."""
    severity = click.style(str(finding.severity), fg=_SEVERITY_COLOUR[finding.severity], bold=True)
    doubt = " (cannot tell)" if finding.status is Status.UNKNOWN else ""
    effect = "" if finding.effect is Effect.REFUSE else f", {finding.effect}"
    if "exception" in finding.evidence:
        effect = ", excused"
    yield f"    {severity} {finding.rule}{doubt}{effect}"
    yield from wrapped(show_text(finding.message, 2000), "      ")
    if finding.remedy:
        yield from wrapped("-> " + show_text(finding.remedy, 2000), "      ", "         ")


def command_text(created_by: str | None) -> str:
    """A history command as people know it from their Dockerfile, on one line."""
    if not created_by:
        return ""
    text = created_by.removeprefix("/bin/sh -c ").strip()
    if text.startswith("#(nop)"):
        text = text.removeprefix("#(nop)").strip()
    return show_text(" ".join(mask_secrets(text).split()), 200)


def wrapped(text: str, indent: str, following: str = "") -> list[str]:
    """A paragraph in the width that there is."""
    return textwrap.wrap(
        text,
        width(),
        initial_indent=indent,
        subsequent_indent=following or indent,
        break_on_hyphens=False,
    )


def found_lines(documents: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """What a service found: a layer's contents, what is in them, and where they are used."""
    for found in documents:
        images = [show_text(name, 200) for name in found["images"]]
        more = " and more" if found["more"] else ""
        yield f"contents {str(found['diffId'])[:19]}  in {plural(len(images), 'image')}{more}"
        for entry in found["entries"]:
            yield f"    {entry['type']} {show_text(entry['path'], 200)}"
        for change in found["changes"]:
            yield f"    {change['change']} {show_text(change['path'], 200)}"
        for package in found["packages"]:
            yield f"    {show_text(package['purl'], 200)}"
        for change in found["packageChanges"]:
            yield f"    {change['change']} {show_text(change['purl'], 200)}"
        for name in images[:5]:
            yield f"  {name}"
        if len(images) > 5:
            yield f"  and {len(images) - 5} more"


def job_lines(documents: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Jobs, and of those that failed why and what to do."""
    yield f"{'id':>6}  {'state':9}  {'tries':>5}  {'queued (UTC)':16}  job"
    for job in documents:
        head = (
            f"{job['id']:>6}  {job['state']:9}  {job['attempts']:>5}  "
            f"{str(job['queuedAt'])[:16].replace('T', ' ')}"
        )
        yield from row(head, show_text(job["key"], 500))
        error = job["error"] or {}
        for mark, key in (("", "message"), ("-> ", "remedy")):
            if error.get(key):
                yield from wrapped(mark + show_text(str(error[key]), 500), " " * 8)


def token_lines(documents: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Tokens, and of a notifier the registry that it speaks for."""
    yield f"{'id':12}  {'role':8}  {'state':7}  {'ends':10}  name"
    for token in documents:
        ends = token["revokedAt"] or token["expiresAt"]
        head = f"{token['id']:12}  {token['role']:8}  {token['state']:7}  {str(ends)[:10]}"
        registry = f" (for {show_text(token['registry'], 300)})" if token["registry"] else ""
        yield from row(head, show_text(token["name"], 300) + registry)


def row(head: str, last: str) -> Iterator[str]:
    """A line of a list. `last` tells what the line is about: it is never cut, and goes below where
    a terminal has no room for it. Programs that read lines get one."""
    if has_width() and len(head) + 2 + len(last) > width():
        yield head.rstrip()
        yield f"    {last}"
    else:
        yield f"{head}  {last}"
