"""The feeds that `advisories update` knows by name, and where their projects publish them."""

from collections.abc import Mapping
from dataclasses import dataclass

from layerproof.advisories.formats.end_of_life import PRODUCTS

_OSV = "https://osv-vulnerabilities.storage.googleapis.com"
_DEBIAN = "https://deb.debian.org/debian/dists"
_ALPINE = "https://dl-cdn.alpinelinux.org/alpine"
_SECDB = "https://secdb.alpinelinux.org"


@dataclass(frozen=True, slots=True)
class KnownFeed:
    """One feed: all that is imported under its name."""

    name: str
    urls: tuple[str, ...]
    says: str
    release: str = ""  # of a package index: what it is of
    family: str = ""  # of ecosystems, all of whose releases it speaks for
    default: bool = True


def _osv(name: str) -> KnownFeed:
    path = name.replace(" ", "%20")
    says = f"OSV: vulnerabilities in {name} packages"
    return KnownFeed(name, (f"{_OSV}/{path}/all.zip",), says, family=name)


# docs/reference/advisories.md lists them
_FEEDS = (
    *map(_osv, ("PyPI", "npm", "Go", "Maven", "RubyGems", "crates.io", "Packagist", "NuGet")),
    *map(_osv, ("Alpine", "AlmaLinux", "Rocky Linux", "Ubuntu", "Red Hat", "Wolfi", "Chainguard")),
    *map(_osv, ("openSUSE", "openEuler", "Mageia")),
    KnownFeed(
        "Debian",
        ("https://security-tracker.debian.org/tracker/data/json",),
        "Debian's security tracker, all states",
    ),
    KnownFeed(
        "KEV",
        ("https://www.cisa.gov/sites/default/files/feeds/known_exploited_vulnerabilities.json",),
        "CISA: vulnerabilities known to be exploited",
    ),
    KnownFeed(
        "EPSS",
        ("https://epss.empiricalsecurity.com/epss_scores-current.csv.gz",),
        "FIRST: probabilities of exploitation",
    ),
    KnownFeed(
        "end-of-life",
        tuple(
            f"https://endoflife.date/api/v1/products/{product}/"
            for product in PRODUCTS
            if product not in ("alpine", "azure-linux")
        ),
        "endoflife.date: when distributions end",
    ),
    *(
        KnownFeed(
            f"alpine-secdb-{release}",
            tuple(f"{_SECDB}/{release}/{repository}.json" for repository in ("main", "community")),
            f"Alpine's own list of fixes, {release}",
            default=False,
        )
        for release in ("v3.18", "v3.19", "v3.20", "v3.21", "v3.22", "v3.23", "edge")
    ),
    *(
        KnownFeed(
            f"debian-{number}-packages",
            (f"{_DEBIAN}/{codename}/main/binary-amd64/Packages.xz",),
            f"newest packages of Debian {number}",
            release=f"Debian:{number}",
            default=False,
        )
        for number, codename in (("11", "bullseye"), ("12", "bookworm"), ("13", "trixie"))
    ),
    *(
        KnownFeed(
            f"alpine-{release}-packages",
            tuple(
                f"{_ALPINE}/{release}/{repository}/x86_64/APKINDEX.tar.gz"
                for repository in ("main", "community")
            ),
            f"newest packages of Alpine {release}",
            release=f"Alpine:{release}",
            default=False,
        )
        for release in ("v3.18", "v3.19", "v3.20", "v3.21", "v3.22", "v3.23", "edge")
    ),
)
FEEDS: Mapping[str, KnownFeed] = {feed.name: feed for feed in _FEEDS}
