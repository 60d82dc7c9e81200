"""What `vulnerabilities` prints."""

from collections.abc import Iterator

from layerproof.engine.packages import Listed, Listing
from layerproof.model.vulnerability import Level, Vulnerability
from layerproof.report.documents import API_VERSION, Document
from layerproof.report.lines import width
from layerproof.rules.text import plural, show_path, show_text


def vulnerabilities_document(listing: Listing) -> Document:
    """Machine output."""
    image = listing.inventory.image
    return {
        "apiVersion": API_VERSION,
        "kind": "Vulnerabilities",
        "reference": image.reference,
        "manifestDigest": image.manifest_digest,
        "configDigest": image.config_digest,
        "advisories": listing.snapshot,
        "packages": len(listing.inventory.packages),
        "notLookedUp": {name or "unknown": count for name, count in listing.uncovered.items()},
        "vulnerabilities": [_document(item, listing) for item in listing.found],
    }


def _document(item: Listed, listing: Listing) -> Document:
    v, package, position = item.vulnerability, item.instance.package, item.instance.introduced
    return {
        "id": v.id,
        "aliases": list(v.names),
        "purl": package.purl,
        "path": "/" + package.path.decode("utf-8", "backslashreplace"),
        "source": package.source or None,
        "layer": position,
        "chainId": listing.inventory.image.layers[position].chain_id,
        "level": str(v.level),
        "score": v.score,
        "epss": v.epss,
        "exploitedSince": v.exploited or None,
        "state": str(v.state),
        "fixed": v.fixed or None,
        "published": v.published.isoformat() if v.published else None,
        "summary": v.summary,
        "url": v.url or None,
        "ecosystem": v.ecosystem,
        "vex": None
        if v.vex is None
        else {
            "status": str(v.vex.status),
            "justification": v.vex.justification,
            "statement": v.vex.statement,
            "author": v.vex.author,
            "document": v.vex.document,
        },
    }


def vulnerability_lines(listing: Listing, *, quiet: bool) -> Iterator[str]:
    """For people, worst first: two lines each."""
    groups: dict[tuple[object, ...], list[Listed]] = {}
    for item in listing.found:
        v, instance = item.vulnerability, item.instance
        source = instance.package.source or instance.package.name
        key = (v.id, source, instance.package.version, v.fixed, instance.introduced, v.excused)
        groups.setdefault(key, []).append(item)
    for items in groups.values():
        yield from _lines(items)
    if quiet:
        return
    if listing.found:
        yield ""
    packages = {id(item.instance) for item in listing.found}
    ids = {item.vulnerability.id for item in listing.found}
    count = len(ids)
    noun = "vulnerability" if count == 1 else "vulnerabilities"
    yield (
        f"{count:,} {noun} in {len(packages):,} of "
        f"{plural(len(listing.inventory.packages), 'package')}"
    )
    for ecosystem, missing in listing.uncovered.items():
        name = show_text(ecosystem, 60) or "an unknown distribution"
        yield f"not looked up: {plural(missing, 'package')} of {name}, for want of advisories"
    if listing.oldest is not None:
        yield (
            f"the oldest advisories asked are those for {listing.oldest.ecosystem}, as of "
            f"{listing.oldest.as_of:%Y-%m-%d}"
        )


def _lines(items: list[Listed]) -> Iterator[str]:
    """One vulnerability of the packages of one source, in two lines."""
    v, package = items[0].vulnerability, items[0].instance.package
    level = "unrated" if v.level is Level.UNKNOWN else str(v.level)
    more = f" (+{len(items) - 1})" if len(items) > 1 else ""
    fixed = f"-> {show_text(v.fixed, 60)}" if v.fixed else f"({v.state})"
    yield _cut(
        f"{level:10} {show_text(v.id, 40):17} layer {items[0].instance.introduced:<2} "
        f"{show_text(package.name, 60)}{more} {show_text(package.version, 60)} {fixed}"
    )
    words = _words(v)
    if v.exploited:
        words = f"exploited since {v.exploited} at the latest; {words}"
    if package.locked:
        words = f"only locked in {show_path(package.path, 60)}; {words}"
    if words:
        yield _cut(f"           {words}")


def _words(v: Vulnerability) -> str:
    if v.excused and v.vex is not None:
        why = v.vex.justification or v.vex.statement or str(v.vex.status)
        return f"does not matter here: {show_text(why, 200)}"
    return show_text(v.summary, 200)


def _cut(line: str) -> str:
    return line if len(line) <= width() else line[: width() - 1] + "…"
