"""The pipelines of docs/how-to/in-a-pipeline.md: YAML that parses, commands that exist."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import yaml

from layerproof.cli.main import cli

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "in-a-pipeline.md"
PIPELINES = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)


def commands(value: object) -> Iterator[list[str]]:
    """Every command line of Layerproof in a pipeline."""
    if isinstance(value, dict):
        for inner in value.values():
            yield from commands(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from commands(inner)
    elif isinstance(value, str):
        for line in value.splitlines():
            if line.startswith("layerproof "):
                yield re.split(r" (?:>|\|\|) ", line)[0].split(" ", 1)[1:]


def test_there_are_two_pipelines_with_commands() -> None:
    found = [list(commands(yaml.safe_load(text))) for text in PIPELINES]
    assert [len(lines) for lines in found] == [3, 2]


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_their_commands_take_these_arguments(pipeline: str) -> None:
    for (line,) in commands(yaml.safe_load(pipeline)):
        words = shlex.split(line)
        command: click.Command = cli
        # click keeps the help option that a command was first asked with: as in the program
        names: list[str] = cli.context_settings["help_option_names"]
        context = click.Context(cli, info_name="layerproof", help_option_names=names)
        while isinstance(command, click.Group):
            found = command.get_command(context, words.pop(0))
            assert found is not None, line
            command = found
        command.make_context("layerproof", words, parent=context)  # raises for unknown options
