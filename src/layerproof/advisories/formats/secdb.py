"""Alpine's secdb (secdb.alpinelinux.org), and lists of fixes in the same form.

`{"distroversion": "v3.20", "packages": [{"pkg": {"name", "secfixes": {VERSION: [CVE …]}}}]}`:
source packages and the version that fixed each; the version `0` says that the package never was
affected. A list of the form `{"distro": "debian:12", "packages": [{"source", "candidate",
"secfixes"}]}` says the same, taken from the changelog of the version `candidate`: a fix that is
newer than this came with a version that it was made from (`1.3~deb12u1` of `1.3`), so the
candidate has it.
"""

import re
from collections.abc import Iterator
from typing import Any

from layerproof.advisories.formats import (
    MAX_ID,
    MAX_TEXT,
    Covered,
    Problem,
    Record,
    UnusableError,
    string,
    time,
)
from layerproof.advisories.order import compare
from layerproof.model.advisory import Advisory, Affected, EventKind
from layerproof.model.vulnerability import State

_NAME = re.compile(r"[A-Z][A-Z0-9]*-[A-Za-z0-9:._-]+")
_CVE = re.compile(r"CVE-\d{4}-\d{4,19}")
_DISTRO = {"debian": "Debian", "ubuntu": "Ubuntu"}
# also `v3.20.0` and what follows: a state of the release
_ALPINE = re.compile(r"(v\d+\.\d+|edge)(?:[.-].*)?")


def looks_like(document: Any) -> bool:
    """Whether it is a document of this format."""
    return (
        isinstance(document, dict)
        and isinstance(document.get("packages"), list)
        and ("distroversion" in document or "distro" in document)
    )


def ecosystem(document: dict[str, Any]) -> str:
    """Raises UnusableError."""
    release = document.get("distroversion")
    if isinstance(release, str):
        match = _ALPINE.fullmatch(release)
        if match is None:
            raise UnusableError(f"{release[:40]!r} is no release of Alpine")
        return f"Alpine:{match[1]}"
    system, _, version = string(document.get("distro"), "distro", MAX_ID).partition(":")
    if system not in _DISTRO or not version:
        raise UnusableError(f"fixes of an unknown distribution {system[:40]!r}")
    return f"{_DISTRO[system]}:{version}"


def read(document: dict[str, Any]) -> Iterator[Record]:
    """One advisory per source package, version and vulnerability."""
    try:
        release = ecosystem(document)
    except UnusableError as error:
        yield Problem(str(document.get("distroversion") or document.get("distro"))[:80], str(error))
        return
    yield Covered(release, as_of=time(document.get("date")))
    for item in document["packages"]:
        try:
            yield from _package(release, item)
        except (UnusableError, AttributeError, TypeError, KeyError) as error:
            yield Problem(f"{release}: {str(item)[:80]}", f"not as secdb has it: {error}")


def _package(release: str, item: dict[str, Any]) -> Iterator[Record]:
    package = item.get("pkg", item)
    name = string(package.get("name") or package.get("source"), "package name")
    candidate = package.get("candidate")
    for version, names in (package.get("secfixes") or {}).items():
        fixed = string(version, "version")
        if isinstance(candidate, str) and compare("dpkg", fixed, candidate) > 0:
            fixed = string(candidate, "candidate")
        for written in names or ():
            # `CVE-2017-2616 (+ regression fix)`, `CVE-2019-1234 XSA-1`
            found = _NAME.findall(written[:MAX_TEXT]) if isinstance(written, str) else []
            if not found:
                yield Problem(f"{release}: {name}", f"{str(written)[:80]!r} names no vulnerability")
                continue
            cves = tuple(word for word in found if _CVE.fullmatch(word))
            state = State.NOT_AFFECTED if fixed == "0" else State.FIXED
            yield Advisory(
                id=found[0],
                aliases=tuple(found[1:]),
                cves=cves[:1],
                affected=(
                    Affected(
                        release,
                        name,
                        (((EventKind.INTRODUCED, "0"), (EventKind.FIXED, fixed)),),
                        state=state,
                    ),
                ),
            )
