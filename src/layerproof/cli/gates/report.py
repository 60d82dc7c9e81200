"""`layerproof gate report`: what gates answered, and what they would have refused."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING

import click

from layerproof.cli.app import App, shared
from layerproof.errors import UsageError

if TYPE_CHECKING:
    from layerproof.model.gate import Tally

_PERIOD = re.compile(r"([1-9][0-9]{0,5})([mhd])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


@click.command()
@click.option("--since", default="7d", show_default=True, help="How far back: 30m, 12h, 7d.")
@click.option("--gate", default="", help="One gate: docker, kubernetes, containerd, registry.")
@shared
def command(app: App, since: str, gate: str) -> int:
    """List what gates answered: what was refused, and what would have been refused if the mode were
    `enforce`. Look here before you switch.

    Exit code: 0 when nothing was or would have been refused, 1 otherwise.

    \b
    layerproof gate report
    layerproof gate report --since 30d --gate docker --output json
    """
    from layerproof.report.tallies import tally_document, tally_lines
    from layerproof.wiring import open_clock

    found = _PERIOD.fullmatch(since)
    if found is None:
        raise UsageError(
            f"{since[:40]!r} is no period", where="--since", remedy="write 30m, 12h or 7d"
        )
    begin = open_clock().now() - timedelta(**{_UNITS[found[2]]: int(found[1])})
    tallies = [t for t in _tallies(app, begin) if not gate or t.gate == gate]
    if app.json:
        app.emit(map(tally_document, tallies))
    else:
        for line in tally_lines(tallies, since):
            click.echo(line)
    return 1 if any(str(t.decided) == "refuse" for t in tallies) else 0


def _tallies(app: App, begin: object) -> list[Tally]:
    from datetime import datetime

    assert isinstance(begin, datetime)
    assert app.index is not None  # with --server it says that it needs an index
    return app.ledger.tallies(begin)
