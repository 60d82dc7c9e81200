"""What commands share: settings, the index, images by reference, output."""

from __future__ import annotations

import functools
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from layerproof.errors import ImageNotFoundError, UsageError

if TYPE_CHECKING:
    from layerproof.cli.progress import Bars, Silent
    from layerproof.config import Settings
    from layerproof.engine.ledger import Ledger
    from layerproof.engine.needs import Indexed
    from layerproof.engine.ports import Advisories, ImageSource, Index
    from layerproof.model.image import Image, Platform
    from layerproof.remote.client import Client

F = TypeVar("F", bound=Callable[..., Any])


class App:
    """One run of the command line."""

    def __init__(self) -> None:
        self.output = "table"
        self.quiet = False
        self.given: dict[str, str] = {}  # variables that options stand for
        self._remote: Client | None = None
        self._index: Index | None = None
        self._ledger: Ledger | None = None
        self._advisories: Advisories | None = None

    @property
    def json(self) -> bool:
        """Whether a program reads the output."""
        return self.output == "json"

    @functools.cached_property
    def settings(self) -> Settings:
        """From the environment, and from the options that `use` was told of."""
        from layerproof.config import settings

        return settings({**os.environ, **self.given})

    def use(self, variable: str, value: object) -> None:
        """An option that was given wins over its variable. Call it before anything is opened."""
        if value is not None:
            self.given[variable] = str(value)
            self.__dict__.pop("settings", None)  # whoever looked before saw them without it

    @property
    def remote(self) -> Client | None:
        """The service to ask instead of an index; None without `--server`. Raises UsageError."""
        if self._remote is None and self.settings.server:
            from layerproof.remote.client import Client

            self._remote = Client(self.settings.server, self.settings.token)
        return self._remote

    @property
    def index(self) -> Index:
        """The layer index, opened once. Raises UsageError for a command that a service cannot be
        asked for."""
        self.without_service()
        if self._index is None:
            from layerproof.wiring import open_index

            self._index = open_index(self.settings)
        return self._index

    def without_service(self) -> None:
        """For a command that needs an index itself. Raises UsageError for one that names a service:
        it would go unasked."""
        if self.settings.server:
            raise UsageError(
                "this command needs an index, and cannot be asked of a service",
                where="--server",
                remedy="leave out --server and LAYERPROOF_SERVER, or name the database: --index",
            )

    @property
    def ledger(self) -> Ledger:
        """The policy that was put into a service on this index, and its exceptions."""
        if self._ledger is None:
            from layerproof.wiring import open_ledger

            self._ledger = open_ledger(self.settings)
        return self._ledger

    @property
    def advisories(self) -> Advisories | None:
        """The advisory file, opened once; None if there is none. Raises AdvisoryError."""
        if self._advisories is None:
            from layerproof.wiring import open_advisories

            self._advisories = open_advisories(self.settings)
        return self._advisories

    def close(self) -> None:
        """Close what was opened."""
        if self._advisories is not None:
            self._advisories.close()
        if self._index is not None:
            self._index.close()
        if self._ledger is not None:
            self._ledger.close()
        if self._remote is not None:
            self._remote.close()

    def read(self, text: str, platform: str | None) -> Indexed:
        """Index an image as far as it is not, and say what was done."""
        with self.source(text) as source:
            return self.index_image(source, source.resolve(parse_platform(platform)))

    def image(self, text: str, platform: str | None, *, offline: bool = False) -> Image:
        """An image by reference, indexed first if need be; by digest, and with `offline`, what the
        index knows. Raises ImageNotFoundError."""
        from layerproof.analysis.current import CURRENT
        from layerproof.engine.lookup import find_image
        from layerproof.engine.needs import is_indexed

        wanted = parse_platform(platform)
        found = find_image(self.index, text, wanted, offline=offline, analysers=CURRENT)
        if found is not None:
            return found
        if offline:
            raise ImageNotFoundError(
                "the index does not know this image",
                where=text,
                remedy="leave out --offline, or index it: layerproof index " + text,
            )
        with self.source(text) as source:
            image = source.resolve(wanted)
            if is_indexed(self.index, image, CURRENT):
                return image
            return self.index_image(source, image).image

    @contextmanager
    def source(self, text: str) -> Iterator[ImageSource]:
        """The source that a reference names, closed at the end."""
        from layerproof import wiring

        source = wiring.open_source(wiring.read_reference(text), self.settings, self.index)
        try:
            yield source
        finally:
            source.close()

    def index_image(self, source: ImageSource, image: Image) -> Indexed:
        """Index what a source resolved, with progress bars where somebody sees them."""
        from layerproof import wiring

        observer = self.observer()
        try:
            return wiring.open_indexer(self.settings, self.index).run(source, observer, image=image)
        finally:
            observer.stop()

    def observer(self) -> Bars | Silent:
        """Progress bars, or nothing."""
        from layerproof.cli.progress import Bars, Silent

        return Bars() if self.shows_progress else Silent()

    @property
    def shows_progress(self) -> bool:
        """Whether somebody sees progress bars."""
        return sys.stderr.isatty() and not self.quiet and not self.json

    def emit(self, documents: Iterable[object]) -> None:
        """JSON Lines on standard output."""
        for document in documents:
            click.echo(json.dumps(document))


def asked(text: str) -> str:
    """An image as a service is asked for it. Raises UsageError for one that only this machine
    has."""
    from layerproof.model.reference import DOCKER
    from layerproof.wiring import read_reference

    if re.fullmatch(r"sha256:[a-f0-9]{64}", text):
        return text
    reference = read_reference(text)
    if reference.transport != DOCKER:
        raise UsageError(
            "the service reads images of registries only",
            where=text,
            remedy="push it and name it docker://HOST/NAME:TAG, or leave out --server",
        )
    return str(reference)


def user() -> str:
    """The user who runs the command. Raises UsageError."""
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError) as error:
        raise UsageError(
            "the user who runs the command has no name here", where="--by", remedy="give --by NAME"
        ) from error


def parse_platform(text: str | None) -> Platform | None:
    """`os/architecture[/variant]`. Raises UsageError."""
    if text is None:
        return None
    from layerproof.model.image import Platform

    parts = text.split("/")
    if not 2 <= len(parts) <= 3 or not all(parts):
        raise UsageError(
            f"{text!r} is not a platform", where="--platform", remedy="for example: linux/arm64"
        )
    return Platform(*parts)


def shared(function: F) -> F:
    """Options of every command: --index, --output, --quiet. The command gets the App first."""
    return shared_with()(function)


def shared_with(*outputs: str) -> Callable[[F], F]:
    """As `shared`, with further forms of output."""
    return functools.partial(_shared, outputs)


def _shared(outputs: tuple[str, ...], function: F) -> F:
    @click.option(
        "--index", "index", help="The index: a file, or a PostgreSQL URL (LAYERPROOF_INDEX)."
    )
    @click.option("--server", help="Ask this service instead (LAYERPROOF_SERVER).")
    @click.option(
        "-o",
        "--output",
        type=click.Choice(["table", "json", *outputs]),
        default="table",
        help="For people, or one JSON document a line"
        + ("; for code scanning, comments, test reports." if outputs else "."),
    )
    @click.option("-q", "--quiet", is_flag=True, help="No progress bars, no remarks.")
    @click.pass_context
    @functools.wraps(function)
    def command(
        context: click.Context,
        /,
        *args: Any,
        index: str | None,
        server: str | None,
        output: str,
        quiet: bool,
        **options: Any,
    ) -> Any:
        app: App = context.obj
        app.output, app.quiet = output, quiet
        app.use("LAYERPROOF_INDEX", index)
        app.use("LAYERPROOF_SERVER", server)
        return function(app, *args, **options)

    return command  # type: ignore[return-value]  # click's decorators lose the type


platform_option = click.option("--platform", help="os/architecture[/variant]; default: this one.")
offline_option = click.option("--offline", is_flag=True, help="Only what the index knows.")
