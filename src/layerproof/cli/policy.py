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


@command.command()
@shared
def schema(app: App) -> int:
    """Print the JSON Schema of the policy file, for editors.

    \b
    layerproof policy schema > policy.schema.json
    # yaml-language-server: $schema=policy.schema.json     (first line of the policy)
    """
    import json

    from layerproof.policy.json_schema import policy_schema

    click.echo(json.dumps(policy_schema(), indent=1))
    return 0


@command.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option(
    "--policy",
    type=click.Path(path_type=Path),
    help="The policy to test; default: the one that each FILE names.",
)
@shared
def test(app: App, files: tuple[str, ...], policy: Path | None) -> int:
    """Run the cases in FILEs: images as they are described, and what the policy is to decide.

    Each image is built in memory, and read and judged like any other. Exit code: 0 as expected,
    1 not, 2 a file cannot be used. The policy reference describes the files.

    \b
    layerproof policy test policy-test.yaml
    layerproof policy test --policy next.yaml policy-test.yaml
    """
    from layerproof.cli.each import each

    return each(app, files, lambda file: _test(app, file, policy))


def _test(app: App, file: str, policy: Path | None) -> int:
    from layerproof.policy.load import load_policy
    from layerproof.report.cases import case_document, case_lines
    from layerproof.testing.cases import load_cases, run_case
    from layerproof.wiring import open_clock, read_policy

    named, cases = load_cases(read_policy(Path(file)), where=file, now=open_clock().now())
    chosen = policy or (Path(file).parent / named if named else None)
    if chosen is None:
        raise UsageError(
            "it names no policy", where=file, remedy="write policy: FILE, or give --policy"
        )
    rules = load_policy(read_policy(chosen), where=str(chosen))
    failed = 0
    for case in cases:
        outcome = run_case(case, rules)
        failed += bool(outcome.problems)
        if app.json:
            app.emit([case_document(file, case.name, outcome.record, outcome.problems)])
        elif outcome.problems or not app.quiet:
            for line in case_lines(case.name, outcome.record, outcome.problems):
                click.echo(line)
    if not app.json and not app.quiet:
        click.echo(f"{file}: {len(cases) - failed} of {len(cases)} cases as expected")
    return 1 if failed else 0
