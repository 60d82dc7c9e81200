"""`layerproof find`: search the index."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from layerproof.cli.app import App, shared
from layerproof.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from layerproof.engine.search import Answer

_SHA256 = re.compile(r"(sha256:)?([a-fA-F0-9]{64})")


def _limited(command: Callable[..., int]) -> Callable[..., int]:
    """With the option that all of them have."""
    return click.option(
        "--limit",
        type=click.IntRange(1, 500),
        default=100,
        show_default=True,
        help="How many layers at most: the last ones indexed.",
    )(command)


@click.group()
def command() -> None:
    """Find the layers, and the images that use them, that hold or change something.

    Only the index is searched. Exit code 1 when nothing was found. What many layers have is told
    of the last ones indexed; --limit asks for more of them.
    """


@command.command()
@click.argument("path")
@_limited
@shared
def path(app: App, path: str, limit: int) -> int:
    """Layers with an entry at PATH, or that delete, hide or redirect it.

    \b
    layerproof find path /etc/shadow
    """
    if not path.startswith("/"):
        raise UsageError(
            "paths in an image start at its root", where=path, remedy=f"find path /{path}"
        )
    if app.remote is not None:
        return _ask(app, limit, path=path)
    from layerproof.engine.search import find_path
    from layerproof.oci.tarnames import clean_path

    plain = clean_path(path.encode("utf-8", "surrogateescape"))
    return _print(app, find_path(app.index, plain, limit))


@command.command()
@click.argument("name")
@_limited
@shared
def package(app: App, name: str, limit: int) -> int:
    """Layers that list package NAME, or NAME@VERSION, or change it.

    \b
    layerproof find package openssl
    layerproof find package xz-utils@5.6.1-1
    layerproof find package @angular/core@17.0.0
    """
    if app.remote is not None:
        return _ask(app, limit, package=name)
    from layerproof.engine.search import find_package

    # A scoped npm name begins with the sign that parts name and version.
    plain, _, version = name[1:].partition("@")
    return _print(app, find_package(app.index, name[:1] + plain, version, limit))


@command.command()
@click.argument("what")
@_limited
@shared
def file(app: App, what: str, limit: int) -> int:
    """Layers that hold a file with the same bytes: WHAT is its sha256, or a local file.

    \b
    layerproof find file sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
    layerproof find file ./suspicious.so
    """
    if app.remote is not None:
        return _ask(app, limit, file=_sha256(what).hex())
    from layerproof.engine.search import find_file

    return _print(app, find_file(app.index, _sha256(what), limit))


def _sha256(what: str) -> bytes:
    match = _SHA256.fullmatch(what)
    if match:
        return bytes.fromhex(match[2])
    import hashlib

    try:
        with Path(what).open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        raise UsageError(
            f"neither a sha256 nor a file that can be read: {error}",
            where=what,
            remedy="give 64 hex digits, or the path of a file",
        ) from error


def _ask(app: App, limit: int, **query: str) -> int:
    assert app.remote is not None
    page = app.remote.get("/search", limit=str(limit), **query)
    documents: list[dict[str, Any]] = page["items"]
    if app.json:
        app.emit(documents)
    elif documents:
        from layerproof.report.lines import found_lines

        for line in found_lines(documents):
            click.echo(line)
    elif not app.quiet:
        click.echo("nothing in the service's index has it")
    _say_more(len(documents), more=page["more"])
    return 0 if documents else 1


def _print(app: App, answer: Answer) -> int:
    if app.json:
        from layerproof.report.documents import found_document

        app.emit(found_document(hit) for hit in answer.found)
    elif answer.found:
        from layerproof.report.table import show_found

        show_found(answer.found)
    elif not app.quiet:
        click.echo("nothing in the index has it")
    _say_more(len(answer.found), more=answer.more)
    return 0 if answer.found else 1


def _say_more(count: int, *, more: bool) -> None:
    """On standard error, so that it is also told beside JSON."""
    if more:
        click.echo(f"more layers have it than these {count}: ask with a higher --limit", err=True)
