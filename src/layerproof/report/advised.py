"""What `advisories` prints."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from layerproof.model.advisory import FeedStatus, ImportReport
from layerproof.report.documents import API_VERSION, Document
from layerproof.report.lines import width
from layerproof.rules.text import plural, show_text

_OLD = timedelta(days=14)  # the default of `maxAgeDays`
_SHOWN_PROBLEMS = 5


def status_document(snapshot: str | None, feeds: Sequence[FeedStatus]) -> Document:
    """Machine output of `advisories status`."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Advisories",
        "snapshot": snapshot,
        "feeds": [
            {
                "name": feed.name,
                "source": feed.source,
                "asOf": feed.as_of.isoformat(),
                "imported": feed.imported.isoformat(),
                "records": feed.records,
                "skipped": feed.skipped,
                "problems": list(feed.problems),
                "covers": list(feed.covers),
            }
            for feed in feeds
        ],
    }


def status_lines(snapshot: str, feeds: Sequence[FeedStatus], now: datetime) -> Iterator[str]:
    """For people: one feed a line, the old ones marked."""
    yield f"advisories {snapshot[:19]}, {plural(len(feeds), 'feed')}"
    yield f"  {'feed':34} {'as of (UTC)':11} {'age':>6} {'records':>10} {'skipped':>8}"
    for feed in feeds:
        age = now - feed.as_of
        days = f"{age.days}d" + ("!" if age > _OLD else " ")
        yield (
            f"  {show_text(feed.name, 33):34} {feed.as_of:%Y-%m-%d}  {days:>6} "
            f"{feed.records:>10,} {feed.skipped:>8,}"
        )
        if feed.covers:
            line = f"    covers {_covers(feed.covers)}"
            yield line if len(line) <= width() else line[: width() - 1] + "…"
    if any(now - feed.as_of > _OLD for feed in feeds):
        yield "  ! older than 14 days: layerproof advisories update"


def _covers(names: Sequence[str]) -> str:
    """`Debian (11, 12, 13), PyPI`."""
    families: dict[str, list[str]] = {}
    for name in names:
        family, _, release = show_text(name, 100).partition(":")
        families.setdefault(family, []).append(release)
    return ", ".join(
        family + (f" ({', '.join(releases)})" if releases != [""] else "")
        for family, releases in families.items()
    )


def imported_document(report: ImportReport) -> Document:
    """Machine output of one imported feed."""
    return {
        "apiVersion": API_VERSION,
        "kind": "ImportedAdvisories",
        "feed": report.name,
        "records": report.records,
        "kinds": dict(sorted(report.kinds.items())),
        "withdrawn": report.withdrawn,
        "skipped": report.skipped,
        "problems": list(report.problems),
        "covers": sorted(report.covered),
        "asOf": report.as_of.isoformat() if report.as_of else None,
    }


def imported_lines(report: ImportReport, *, quiet: bool) -> Iterator[str]:
    """For people. What was skipped is never left out."""
    if not quiet:
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in sorted(report.kinds.items()))
        as_of = f" as of {report.as_of:%Y-%m-%d}" if report.as_of else ""
        yield f"{show_text(report.name, 100)}: {kinds or 'nothing'}{as_of}"
        if report.withdrawn:
            yield f"  {report.withdrawn:,} of them withdrawn, and not used"
        if report.covered:
            yield f"  covers {_covers(sorted(report.covered))}"
        elif "advisories" in report.kinds:
            yield "  covers no ecosystem as a whole (--covers says that it does)"
    if report.skipped:
        yield f"{show_text(report.name, 100)}: {report.skipped:,} records were skipped, such as"
        for problem in report.problems[:_SHOWN_PROBLEMS]:
            yield f"  {problem[:300]}"
