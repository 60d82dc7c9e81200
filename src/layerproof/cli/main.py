"""The command line: parse, call, print. Commands are imported when they are called."""

import gc
import importlib
import json
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise

import click

from layerproof import __version__
from layerproof.cli.app import App
from layerproof.errors import LayerproofError, PolicyError, UsageError

_COMMANDS = {
    "advisories": "Download or import advisories, and tell how old they are.",
    "check": "Decide whether images may run here, layer by layer.",
    "demo": "See it work on images made on the spot, offline.",
    "diff": "Show what a layer changes, or how two images differ.",
    "events": "Import and list who pushed and pulled what.",
    "explain": "Tell why a layer is trusted, or not, in plain words.",
    "find": "Find the layers and images that hold a path, package or file.",
    "gate": "Refuse images where they are to run, and see what gates answered.",
    "index": "Read images into the layer index.",
    "learn": "Train, promote and ask the model that knows what is trusted here.",
    "policy": "Write a policy file, and see whether it can be used.",
    "pull": "Fetch what is not trusted into quarantine, and refuse it from then on.",
    "jobs": "List and cancel the jobs of a service.",
    "sbom": "Write what an image is made of as CycloneDX or SPDX.",
    "serve": "Run the service: registries report to it, gates ask it.",
    "show": "Show an image's stack of layers.",
    "token": "Make, list and end tokens of the service.",
    "trust": "Declare images trusted, list or revoke such trust.",
    "verdicts": "List what was decided, or show one verdict in full.",
    "vulnerabilities": "List the vulnerabilities of an image's packages, by layer.",
    "watch": "Watch what starts, and judge it as long as it runs.",
    "withdrawals": "List the layers that are refused everywhere.",
    "worker": "Do the jobs of a service on PostgreSQL.",
}

_HELP = """Layerproof keeps container images honest, layer by layer.

\b
  layerproof demo                            see it work, offline
  layerproof trust add debian:12 -r "our base"
  layerproof check docker://ghcr.io/org/app:1.0
  layerproof show oci:./image

IMAGE is written as skopeo and podman write it: docker://HOST/NAME:TAG[@DIGEST],
docker-daemon:NAME, docker-archive:FILE, oci:DIR[:TAG], oci-archive:FILE,
rootfs:FILE; a bare name is a registry's, a path that exists is recognised.

Exit codes: 0 admit, 1 refuse, 2 wrong use, 3 could not decide.
"""


class Lazy(click.Group):
    """A group that knows its commands' names without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names, for the help."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of the command."""
        if cmd_name not in _COMMANDS:
            return None
        command = importlib.import_module(f"layerproof.cli.{cmd_name}").command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """From the table: help must not import every command."""
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.group(cls=Lazy, help=_HELP, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="layerproof", message="%(prog)s %(version)s")
@click.option("--server", help="Ask this service instead of an index (LAYERPROOF_SERVER).")
@click.pass_obj
def cli(app: App, server: str | None) -> None:
    """See `_HELP`."""
    app.use("LAYERPROOF_SERVER", server)


def run(arguments: Sequence[str]) -> int:
    """Run a command line; the exit code."""
    app = App()
    try:
        outcome = cli.main(list(arguments), "layerproof", standalone_mode=False, obj=app)
        if sys.stdout is not None:
            sys.stdout.flush()
        return outcome if isinstance(outcome, int) else 0
    except click.ClickException as error:
        if _asks_for_json(arguments):
            print_error(UsageError(error.format_message()), as_json=True)
        else:
            error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted; finished layers are kept", err=True)
        return 130
    except LayerproofError as error:
        print_error(error, as_json=app.json)
        return error.exit_code
    except (BrokenPipeError, SystemExit):
        # Whoever read our output has enough of it (`| head`); click exits for that reason alone.
        _drop_output()
        return 128 + signal.SIGPIPE
    except Exception as error:  # because Python's own exit code, 1, would mean "refuse"
        if os.environ.get("LAYERPROOF_DEBUG"):
            raise
        if isinstance(error, OSError):
            _drop_output()
        print_error(_defect(error), as_json=app.json)
        return LayerproofError.exit_code
    finally:
        app.close()


def _asks_for_json(arguments: Sequence[str]) -> bool:
    """Whether a command line that could not be parsed asked for JSON."""
    return "--output=json" in arguments or any(
        option in ("-o", "--output") and value == "json" for option, value in pairwise(arguments)
    )


def _drop_output() -> None:
    """What is still to be written goes nowhere; else the interpreter complains at its end."""
    if sys.stdout is not None:
        with suppress(OSError):  # standard output may be no file at all
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _defect(error: Exception) -> LayerproofError:
    if isinstance(error, OSError):
        return LayerproofError(f"the system refused: {error}", remedy="see to it and try again")
    return LayerproofError(
        f"a defect of Layerproof ({type(error).__name__}: {error})",
        remedy="LAYERPROOF_DEBUG=1 shows where; please report it with the image's reference",
    )


def print_error(error: LayerproofError, *, as_json: bool) -> None:
    """To standard error: one line and a remedy for people, one document for programs."""
    if as_json:
        from layerproof.report.documents import error_document

        click.echo(json.dumps(error_document(error)), err=True)
        return
    from layerproof.rules.text import show_text

    click.echo(f"layerproof: {show_text(str(error), 2000)}", err=True)
    if isinstance(error, PolicyError):
        for problem in error.problems:
            click.echo(f"  {show_text(problem, 2000)}", err=True)
    if error.remedy:
        click.echo(f"  {show_text(error.remedy, 2000)}", err=True)


def main() -> None:
    """The console script."""
    # Reading a layer makes many objects and no cycles: collect seldom.
    gc.set_threshold(200_000, 20, 20)
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
