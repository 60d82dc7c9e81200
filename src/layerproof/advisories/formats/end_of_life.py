"""endoflife.date: when releases of distributions end.

Read are the API's documents (endoflife.date/docs/api: v1 `{"result": {"name", "releases"}}` and the
older list of cycles, which is named by its file) and the front matter of the project's own pages.
"""

from collections.abc import Iterator
from datetime import date
from typing import Any

from layerproof.advisories.formats import EndOfLifeRecord, Problem, Record

# The project's product names → os-release IDs. Others are no distributions of containers.
PRODUCTS = {
    "alpine-linux": "alpine",
    "alpine": "alpine",
    "debian": "debian",
    "ubuntu": "ubuntu",
    "almalinux": "almalinux",
    "rocky-linux": "rocky",
    "rhel": "rhel",
    "centos": "centos",
    "centos-stream": "centos",
    "fedora": "fedora",
    "amazon-linux": "amzn",
    "oracle-linux": "ol",
    "opensuse": "opensuse-leap",
    "sles": "sles",
    "mageia": "mageia",
    "azure-linux": "azurelinux",
    "photon": "photon",
}


def is_api(document: Any, name: str) -> bool:
    """Whether it is a document of the API; `name` is that of its file."""
    if isinstance(document, dict):
        result = document.get("result")
        return isinstance(result, dict) and isinstance(result.get("releases"), list)
    return (
        name.removesuffix(".json") in PRODUCTS
        and isinstance(document, list)
        and all(isinstance(item, dict) and "cycle" in item and "eol" in item for item in document)
    )


def read_api(document: Any, name: str) -> Iterator[Record]:
    """One record per release that ends on a known day."""
    if isinstance(document, dict):
        product, releases = document["result"].get("name"), document["result"]["releases"]
        yield from _releases(product, releases, "name", ("eolFrom",))
    else:
        yield from _releases(name.removesuffix(".json"), document, "cycle", ("eol",))


def read_page(front: Any, name: str) -> Iterator[Record]:
    """Of a page's front matter."""
    if isinstance(front, dict) and isinstance(front.get("releases"), list):
        yield from _releases(name.removesuffix(".md"), front["releases"], "releaseCycle", ("eol",))


def _releases(
    product: Any, releases: list[Any], cycle: str, ends: tuple[str, ...]
) -> Iterator[Record]:
    found = PRODUCTS.get(product) if isinstance(product, str) else None
    if found is None:
        return
    for item in releases:
        day = (
            next((item[key] for key in ends if key in item), None)
            if isinstance(item, dict)
            else None
        )
        if isinstance(day, bool) or day is None:
            continue  # lives on, or ended on an unknown day
        try:
            when = day if isinstance(day, date) else date.fromisoformat(day)
            yield EndOfLifeRecord(found, str(item[cycle])[:80], when)
        except (ValueError, TypeError, KeyError):
            yield Problem(f"end of life of {found}", f"{str(item)[:80]} names no release and day")
