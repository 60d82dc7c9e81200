"""`layerproof gate`: the places where a decision bites."""

from __future__ import annotations

import importlib

import click

_GATES = {
    "docker": "An authorization plugin of the Docker Engine.",
    "containerd": "An image verifier of containerd.",
    "kubernetes": "Admission webhooks of Kubernetes.",
    "registry": "A gateway in front of a registry.",
    "report": "What gates answered, and what they would refuse.",
}


class Lazy(click.Group):
    """Gates are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names, for the help."""
        return list(_GATES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of the gate."""
        if cmd_name not in _GATES:
            return None
        command = importlib.import_module(f"layerproof.cli.gates.{cmd_name}").command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """From the table: help must not import every gate."""
        with formatter.section("Commands"):
            formatter.write_dl(list(_GATES.items()))


@click.group(cls=Lazy)
def command() -> None:
    """Put a gate before what runs containers, and see what it answers.

    A gate asks for a verdict before something runs, and refuses what the policy refuses. Begin with
    `mode: observe` in the policy: nothing is refused, everything is counted.

    \b
    layerproof gate docker install
    layerproof gate report --since 7d
    """
