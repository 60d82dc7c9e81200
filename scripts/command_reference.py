"""Writes docs/reference/commands.md from the commands themselves; a test compares the two.

python scripts/command_reference.py
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from layerproof.cli.main import cli

TARGET = Path(__file__).parent.parent / "docs/reference/commands.md"

_HEAD = """# Commands

Made from `layerproof COMMAND --help` by `scripts/command_reference.py`. Settings that come from the
environment are in [settings.md](settings.md), reference forms in [references.md](references.md).
"""


def reference() -> str:
    """The whole page."""
    return "\n".join([_HEAD, *_sections(cli, "layerproof", None)])


def _sections(command: click.Command, name: str, parent: click.Context | None) -> Iterator[str]:
    # A fixed width: the page must not depend on the terminal.
    context = click.Context(command, info_name=name, parent=parent, max_content_width=79,
                            terminal_width=79,
        help_option_names=["-h", "--help"])  # fmt: skip
    yield f"## {context.command_path}\n\n```\n{command.get_help(context)}\n```\n"
    if isinstance(command, click.Group):
        for sub in command.list_commands(context):
            found = command.get_command(context, sub)
            assert found is not None
            yield from _sections(found, sub, context)


if __name__ == "__main__":
    TARGET.write_text(reference(), encoding="utf-8")
    sys.stdout.write(f"wrote {TARGET}\n")
