"""Feeds by name: downloaded, then built into the advisory file together."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from shutil import rmtree

from layerproof.errors import AdvisoryError, UsageError
from layerproof.feeds.build import Feed, build
from layerproof.feeds.documents import Document, documents_of
from layerproof.feeds.download import Downloaded, Downloads
from layerproof.feeds.file import open_file
from layerproof.feeds.known import FEEDS, KnownFeed
from layerproof.model.advisory import ImportReport

Progress = Callable[[str, int, int | None], None]  # feed, bytes so far, bytes in all


def chosen(names: Sequence[str], path: Path) -> list[KnownFeed]:
    """The feeds that were named; else those that the file has; else the usual ones. Raises
    UsageError."""
    by_name = {name.lower(): feed for name, feed in FEEDS.items()}
    unknown = [name for name in names if name.lower() not in by_name]
    if unknown:
        raise UsageError(
            f"there is no feed {unknown[0][:80]!r}",
            where="advisories update",
            remedy="one of: " + ", ".join(FEEDS),
        )
    if names:
        return list(dict.fromkeys(by_name[name.lower()] for name in names))
    file = open_file(path)
    had = [feed.name for feed in file.feeds()] if file is not None else []
    if file is not None:
        file.close()
    return [FEEDS[name] for name in had if name in FEEDS] or [
        feed for feed in FEEDS.values() if feed.default
    ]


def update(
    path: Path, feeds: Sequence[KnownFeed], mirror: str, now: datetime, progress: Progress
) -> tuple[list[ImportReport], list[AdvisoryError]]:
    """Download and import. A feed that cannot be had is left as it was; its error is returned.

    Raises AdvisoryError where the file cannot be built.
    """
    etags = _etags(path)
    folder = path.with_name(path.name + ".downloads")
    downloads = Downloads(folder, mirror)
    ready: list[Feed] = []
    unchanged: dict[str, datetime] = {}
    errors: list[AdvisoryError] = []
    try:
        for feed in feeds:
            try:
                files = _fetch(downloads, feed, etags.get(feed.name, ""), progress)
            except AdvisoryError as error:
                errors.append(error)
                continue
            if all(file.path is None for _, file in files):
                unchanged[feed.name] = now
            else:
                ready.append(_feed(feed, files, now))
        found: list[ImportReport] = []
        if ready or unchanged:
            found = build(
                path,
                ready,
                now,
                touched=unchanged,
                progress=lambda name, n: progress(name, n, None),
            )
    finally:
        downloads.close()
    if not errors:
        rmtree(folder, ignore_errors=True)
    return found, errors


def _etags(path: Path) -> dict[str, str]:
    file = open_file(path)
    if file is None:
        return {}
    try:
        return {feed.name: feed.etag for feed in file.feeds()}
    finally:
        file.close()


def _fetch(
    downloads: Downloads, feed: KnownFeed, etag: str, progress: Progress
) -> list[tuple[str, Downloaded]]:
    """A feed of several files is fetched whole: an ETag stands for one."""
    single = etag if len(feed.urls) == 1 else ""
    return [
        (url, downloads.fetch(url, single, lambda n, all_: progress(feed.name, n, all_)))
        for url in feed.urls
    ]


def _feed(feed: KnownFeed, files: Iterable[tuple[str, Downloaded]], now: datetime) -> Feed:
    kept = [(url, file) for url, file in files if file.path is not None]

    def documents() -> Iterator[Document]:
        for url, file in kept:
            assert file.path is not None
            name = url.rstrip("/").rpartition("/")[2]
            if name == "json":
                name = "tracker.json"
            elif "." not in name:
                name += ".json"
            yield from documents_of(file.path, name, feed.release)

    return Feed(
        name=feed.name,
        source=feed.urls[0],
        documents=documents,
        as_of=now,
        whole=True,
        families=(feed.family,) if feed.family else (),
        etag=kept[0][1].etag if len(feed.urls) == 1 else "",
    )
