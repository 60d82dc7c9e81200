"""`layerproof policy`: write a policy file, and look it over."""

from __future__ import annotations

from pathlib import Path

import click

from layerproof.cli.app import App, shared
from layerproof.errors import UsageError


@click.group()
def command() -> None:
    """Write a policy file, and see whether it can be used.

    A policy says what a gate does with what the rules find. Without one, the built-in policy holds.
    """


@command.command()
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True), default="policy.yaml")
@shared
def init(app: App, file: Path) -> int:
    """Write a commented policy to FILE, to start from; `-` prints it. An existing file stays.

    \b
    layerproof policy init
    layerproof policy init - | less
    """
    from layerproof.policy.starter import starter

    if str(file) == "-":
        click.echo(starter(), nl=False)
        return 0
    try:
        with file.open("x", encoding="utf-8") as stream:
            stream.write(starter())
    except FileExistsError as error:
        raise UsageError(
            "the file is there already, and is left as it is",
            where=str(file),
            remedy="name another file, or print the starter: layerproof policy init -",
        ) from error
    except OSError as error:
        raise UsageError(
            f"cannot be written: {error.strerror}",
            where=str(file),
            remedy="name a file in a folder that exists and may be written to",
        ) from error
    if not app.quiet:
        click.echo(f"wrote {file}; use it with: layerproof check --policy {file} IMAGE")
    return 0


@command.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@shared
def validate(app: App, files: tuple[str, ...]) -> int:
    """Read policy FILEs and name every mistake with its line, column and remedy.

    Exit code: 0 all can be used, 2 one cannot.

    \b
    layerproof policy validate policy.yaml
    layerproof policy validate --output json policy.yaml | jq -r .digest
    """
    from layerproof.cli.each import each

    return each(app, files, lambda file: _validate(app, file))


def _validate(app: App, file: str) -> int:
    from layerproof.policy.load import load_policy
    from layerproof.report.documents import policy_document
    from layerproof.rules.text import plural
    from layerproof.wiring import read_policy

    policy = load_policy(read_policy(Path(file)), where=file)
    if app.json:
        app.emit([policy_document(file, policy)])
    elif not app.quiet:
        excused = plural(len(policy.exceptions), "exception")
        click.echo(f"{file}: can be used; {excused}; {policy.digest}")
    return 0
