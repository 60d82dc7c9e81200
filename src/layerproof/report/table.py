"""Tables for people. The table library is loaded here and nowhere else."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from layerproof.engine.compare import Comparison
from layerproof.engine.search import Found
from layerproof.engine.view import ImageView, LayerView
from layerproof.model.change import Change, ChangeKind
from layerproof.model.contents import ChainRecord
from layerproof.model.entry import FILE, Entry
from layerproof.model.package import PackageChange
from layerproof.model.trust import TrustRecord
from layerproof.report.documents import trust_state
from layerproof.report.lines import command_text, human, width
from layerproof.rules.text import plural, show_path, show_text

_MARKS = {
    ChangeKind.ADDED: "+",
    ChangeKind.REPLACED: "~",
    ChangeKind.ATTRIBUTES: "a",
    ChangeKind.DELETED: "-",
    ChangeKind.REDIRECTED: ">",
    ChangeKind.SHADOWED: "s",
    ChangeKind.IDENTICAL: "=",
}


def _console() -> Console:
    # Image text is shown as it is: no markup, no emoji codes, no highlighting of numbers.
    return Console(width=width(), markup=False, emoji=False, highlight=False)


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, expand=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def show_image(view: ImageView, *, packages: bool) -> None:
    """The stack of layers, lowest first."""
    console = _console()
    image = view.image
    console.print(Text(show_text(image.reference, 500), style="bold"))
    for label, value in (
        ("manifest", image.manifest_digest),
        ("config", image.config_digest),
        ("platform", str(image.platform)),
        ("also", ", ".join(show_text(n) for n in view.names if n != image.reference)),
    ):
        if value:
            console.print(Text(f"{label:9}{value}"), soft_wrap=True)
    console.print()
    for row in _stack(view):
        console.print(row, soft_wrap=True)
    console.print()
    legend = "changes: + added  ~ replaced  a mode or owner  - deleted  > link  s shadowed"
    console.print(Text(legend))
    for note in image.notes:
        console.print(Text(f"note: {show_text(note)}"))
    _show_skipped(console, view)
    if packages:
        _show_packages(console, view)


def _stack(view: ImageView) -> Iterator[Text]:
    """One line per layer, whatever the width: the command gives way, nothing else does."""
    rows = [("#", "ChainID", "size", "trust", "changes", "command")]
    rows += [
        (
            str(layer.layer.position),
            layer.layer.chain_id.short,
            human(_size(layer)),
            "trusted" if layer.trust else "-",
            _changes(layer.chain),
            command_text(layer.layer.created_by),
        )
        for layer in view.layers
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    for number, row in enumerate(rows):
        cells = [
            cell.rjust(size) if column in (0, 2) else cell.ljust(size)
            for column, (cell, size) in enumerate(zip(row, widths, strict=False))
        ]
        line = Text("  ".join(cells), style="bold" if number == 0 else "")
        room = width() - len(line) - 2
        command = row[5] if len(row[5]) <= room else row[5][: max(room - 1, 0)] + "…"
        line.append("  " + command)
        if row[3] == "trusted":
            line.stylize("green", line.plain.index("trusted"), line.plain.index("trusted") + 7)
        yield line


def _size(layer: LayerView) -> int | None:
    if layer.layer.blob is not None:
        return layer.layer.blob.size
    return layer.summary.size if layer.summary else None


def _changes(chain: ChainRecord | None) -> str:
    if chain is None:
        return "not indexed"
    shown = [
        f"{mark}{chain.counts[kind]}"
        for kind, mark in _MARKS.items()
        if kind is not ChangeKind.IDENTICAL and chain.counts.get(kind)
    ]
    return " ".join(shown) or "none"


def _show_skipped(console: Console, view: ImageView) -> None:
    for layer in view.layers:
        for analyser, path, reason in layer.summary.skipped if layer.summary else ():
            where = f" {show_path(path)}" if path else ""
            console.print(
                Text(f"skipped in layer {layer.layer.position} by {analyser}:{where} {reason}")
            )


def _show_packages(console: Console, view: ImageView) -> None:
    table = _table("layer", "package", "change")
    for layer in view.layers:
        for change in layer.chain.package_changes if layer.chain else ():
            table.add_row(
                str(layer.layer.position), show_text(change.package.purl), _package_words(change)
            )
    console.print(table)


def _package_words(change: PackageChange) -> str:
    if change.before is not None and change.after is not None:
        return show_text(f"{change.before.version} -> {change.after.version}")
    return str(change.kind)


def show_changes(title: str, changes: Sequence[Change], *, limit: int) -> None:
    """A list of changes, the most notable kinds first."""
    console = _console()
    console.print(Text(title, style="bold"))
    table = _table("", "path", "what")
    for change in changes[:limit]:
        table.add_row(_MARKS[change.kind], show_path(change.path), change_words(change))
    if changes:
        console.print(table)
    else:
        console.print(Text("no change"))
    if len(changes) > limit:
        rest = len(changes) - limit
        console.print(Text(f"and {plural(rest, 'more change')}; see all with --limit 0"))


def show_comparison(comparison: Comparison, *, limit: int) -> None:
    """Two images: what they share, packages, then paths."""
    console = _console()
    console.print(Text(f"- {show_text(comparison.first.reference, 500)}"))
    console.print(Text(f"+ {show_text(comparison.second.reference, 500)}"))
    console.print(Text(f"{plural(comparison.common_layers, 'layer')} in common"))
    if comparison.package_changes:
        table = _table("package", "change")
        for change in comparison.package_changes:
            table.add_row(show_text(change.package.purl), _package_words(change))
        console.print(table)
    show_changes("paths", comparison.changes, limit=limit)


def change_words(change: Change) -> str:
    """One change in words."""
    words = [str(change.kind)]
    if change.before is not None and change.after is not None:
        words.append(f"{_entry_words(change.before)} -> {_entry_words(change.after)}")
    elif (entry := change.after or change.before) is not None:
        words.append(_entry_words(entry))
    if change.cause:
        words.append(f"({change.cause})")
    if change.by and change.by != change.path:
        words.append(f"by {show_path(change.by)}")
    if change.target:
        words.append(f"-> {show_path(change.target)}")
    return " ".join(words)


def _entry_words(entry: Entry) -> str:
    owner = f"{entry.mode:04o} {entry.uid}:{entry.gid}"
    if entry.link is not None:
        return f"link to {show_path(entry.link)}"
    if entry.kind == FILE and entry.sha256 is not None:
        return f"{owner} {human(entry.size)} {entry.sha256.hex()[:12]}"
    return owner


def show_found(found: Sequence[Found]) -> None:
    """Search results: layer by layer."""
    console = _console()
    for hit in found:
        console.print(Text(f"contents {hit.diff_id}", style="bold"))
        for entry in hit.entries:
            console.print(Text(f"  holds {show_path(entry.path)}  {_entry_words(entry)}"))
        for package in hit.packages:
            console.print(Text(f"  lists {show_text(package.purl)}  in {show_path(package.path)}"))
        for chain_id, change in hit.changes:
            what = f"{show_path(change.path)}: {change_words(change)}"
            console.print(Text(f"  {what}  (chain {chain_id.short})"))
        for chain_id, package_change in hit.package_changes:
            purl = show_text(package_change.package.purl)
            console.print(
                Text(f"  {purl}: {_package_words(package_change)}  (chain {chain_id.short})")
            )
        for image in hit.images:
            console.print(Text(f"  in {show_text(image)}"))
        if hit.more:
            console.print(Text("  and in more images, or at more places"))
        if not hit.images:
            console.print(Text("  in no image that is indexed to its end"))


def show_trust(records: Sequence[TrustRecord], now: datetime) -> None:
    """Trust records."""
    table = _table("id", "image", "layers", "state", "by", "until", "reason")
    for record in records:
        until = record.expires_at.date().isoformat() if record.expires_at else "-"
        table.add_row(
            record.id,
            show_text(record.reference),
            str(len(record.chain_ids)),
            trust_state(record, now),
            show_text(record.added_by),
            until,
            show_text(record.revoke_reason or record.reason),
        )
    _console().print(table)
