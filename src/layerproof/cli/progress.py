"""Progress bars on a terminal, nothing elsewhere."""

from __future__ import annotations

from collections.abc import Collection
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Self

    from rich.progress import Progress, ProgressColumn, TaskID

    from layerproof.model.image import Image

_REFRESH = 0.1  # seconds


class Silent:
    """An observer that shows nothing."""

    def resolved(self, image: Image, known: Collection[int]) -> None:
        """See `engine.ports.Observer`."""

    def layer_progress(self, position: int, bytes_read: int) -> None:
        """See `engine.ports.Observer`."""

    def layer_done(self, position: int) -> None:
        """See `engine.ports.Observer`."""

    def stop(self) -> None:
        """Nothing to take away."""


class Bars:
    """One bar for all layers that must be read, on standard error.

    Drawn from the calls themselves, without a thread: the process is going to fork.
    """

    def __init__(self) -> None:
        self._progress: Progress | None = None
        self._task: TaskID | None = None
        self._done: dict[int, int] = {}
        self._sizes: dict[int, int] = {}
        self._drawn = 0.0

    def resolved(self, image: Image, known: Collection[int]) -> None:
        """See `engine.ports.Observer`."""
        self._sizes = {
            layer.position: layer.blob.size if layer.blob else 0
            for layer in image.layers
            if layer.position not in known
        }
        if not self._sizes:
            return
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn
        from rich.progress import TimeRemainingColumn as Remaining

        total = sum(self._sizes.values()) or None
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            DownloadColumn(),
            Remaining(),
            console=Console(stderr=True),
            auto_refresh=False,
            transient=True,
        )
        self._progress.start()
        self._task = self._progress.add_task(self._text(0), total=total)

    def layer_progress(self, position: int, bytes_read: int) -> None:
        """See `engine.ports.Observer`."""
        self._done[position] = bytes_read
        self._draw()

    def layer_done(self, position: int) -> None:
        """See `engine.ports.Observer`."""
        self._done[position] = self._sizes.get(position, 0)
        self._sizes.pop(position, None)
        self._draw(force=True)

    def stop(self) -> None:
        """Take the bar away."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def _text(self, done: int) -> str:
        return f"reading {done + len(self._sizes)} layers, {len(self._sizes)} to go"

    def _draw(self, *, force: bool = False) -> None:
        if self._progress is None or self._task is None:
            return
        if not force and monotonic() - self._drawn < _REFRESH:
            return
        self._drawn = monotonic()
        text = f"reading layers, {len(self._sizes)} to go"
        self._progress.update(self._task, description=text, completed=sum(self._done.values()))
        self._progress.refresh()


class _Rows:
    """A line per thing that is done, on standard error; drawn from the calls themselves."""

    def __init__(self, *, shown: bool) -> None:
        self._progress: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._shown = shown
        self._drawn = 0.0

    def __enter__(self) -> Self:
        if self._shown:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn

            self._progress = Progress(
                TextColumn("{task.description:24}"),
                BarColumn(bar_width=None),
                self._column(),
                console=Console(stderr=True),
                auto_refresh=False,
                transient=True,
            )
            self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._progress is not None:
            self._progress.stop()

    def _column(self) -> ProgressColumn:
        raise NotImplementedError

    def _update(self, name: str, done: int, total: int | None, text: str) -> None:
        if self._progress is None:
            return
        if name not in self._tasks:
            self._tasks[name] = self._progress.add_task(name, total=total)
        self._progress.update(self._tasks[name], description=text, completed=done, total=total)
        if monotonic() - self._drawn >= _REFRESH or done == total:
            self._drawn = monotonic()
            self._progress.refresh()


class Transfers(_Rows):
    """Bytes that are downloaded or copied, then records that are imported."""

    def _column(self) -> ProgressColumn:
        from rich.progress import DownloadColumn

        return DownloadColumn()

    def show(self, name: str, done: int, total: int | None) -> None:
        """`done` of `total` bytes; without a total, records that were imported."""
        if total is None and done:
            self._update(name, 0, None, f"{name}: {done:,} records")
        else:
            self._update(name, done, total, name)


class Counts(_Rows):
    """Things that are counted; without a total, the bar only says that it goes on."""

    def _column(self) -> ProgressColumn:
        from rich.progress import MofNCompleteColumn

        return MofNCompleteColumn()

    def show(self, name: str, done: int, total: int | None) -> None:
        """`done` of `total`; None where nobody counted them before."""
        self._update(name, done, total, name)
