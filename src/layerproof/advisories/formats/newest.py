"""The newest versions: distributions' package indexes and registries' documents.

- Debian's `Packages` (wiki.debian.org/DebianRepository/Format), of a binary package;
- Alpine's `APKINDEX` and the form `{"distroversion", "versions": {REPOSITORY: {NAME: VERSION}}}`;
- PyPI's and npm's JSON of one project (warehouse.pypa.io/api-reference/json; the npm registry's
  "package metadata"), pre-releases and yanked files left out.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from layerproof.advisories.ecosystems import normal_name
from layerproof.advisories.formats import (
    Covered,
    NewestRecord,
    Problem,
    Record,
    UnusableError,
    string,
    time,
)
from layerproof.advisories.order import key

_ALPINE = re.compile(r"(v\d+\.\d+|edge)(?:[.-].*)?")


def is_versions(document: Any) -> bool:
    """Alpine's newest versions as one document."""
    return (
        isinstance(document, dict)
        and isinstance(document.get("versions"), dict)
        and ("distroversion" in document)
    )


def read_versions(document: dict[str, Any]) -> Iterator[Record]:
    """One record per package."""
    release = document["distroversion"]
    match = _ALPINE.fullmatch(release) if isinstance(release, str) else None
    if match is None:
        yield Problem("newest versions", f"{str(release)[:40]!r} is no release of Alpine")
        return
    ecosystem = f"Alpine:{match[1]}"
    yield Covered(ecosystem, versions=True, as_of=time(document.get("date")))
    for packages in document["versions"].values():
        for name, version in packages.items() if isinstance(packages, dict) else ():
            yield _record(ecosystem, name, version)


def read_apkindex(text: str, ecosystem: str) -> Iterator[Record]:
    """Records of `P:` and `V:` lines."""
    yield Covered(ecosystem, versions=True)
    yield from _newest(ecosystem, "apk", _fields(text, "P:", "V:"))


def read_packages(text: str, ecosystem: str) -> Iterator[Record]:
    """Records of `Package:` and `Version:` lines; of several versions the newest."""
    yield Covered(ecosystem, versions=True)
    yield from _newest(ecosystem, "dpkg", _fields(text, "Package: ", "Version: "))


def _fields(text: str, name: str, version: str) -> Iterator[tuple[str, str]]:
    found: dict[str, str] = {}
    for row in text.split("\n"):
        for field in (name, version):
            if row.startswith(field):
                found[field] = row[len(field) :].strip()
        if not row.strip():
            if len(found) == 2:
                yield found[name], found[version]
            found = {}
    if len(found) == 2:
        yield found[name], found[version]


def _newest(ecosystem: str, scheme: str, found: Iterable[tuple[str, str]]) -> Iterator[Record]:
    newest: dict[str, str] = {}
    for name, version in found:
        if name not in newest or key(scheme, version) > key(scheme, newest[name]):
            newest[name] = version
    for name, version in newest.items():
        yield _record(ecosystem, name, version)


def _record(ecosystem: str, name: Any, version: Any) -> Record:
    try:
        return NewestRecord(ecosystem, string(name, "name"), string(version, "version"))
    except UnusableError as error:
        return Problem(f"newest versions of {ecosystem}", f"{str(name)[:80]!r}: {error}")


def is_pypi(document: Any) -> bool:
    """PyPI's JSON of a project."""
    return (
        isinstance(document, dict)
        and isinstance(document.get("releases"), dict)
        and isinstance(document.get("info"), dict)
    )


def read_pypi(document: dict[str, Any]) -> Iterator[Record]:
    """One record: the newest final version that is not wholly yanked."""
    from packaging.version import InvalidVersion, Version  # only here

    name = document["info"].get("name")
    found = []
    for text, files in document["releases"].items():
        try:
            version = Version(text)
        except InvalidVersion:
            continue
        usable = [f for f in files if isinstance(f, dict) and not f.get("yanked")]
        if usable and not version.is_prerelease:
            found.append((version, text, time(usable[0].get("upload_time_iso_8601"))))
    yield from _of_registry("PyPI", name, max(found, default=None, key=lambda item: item[0]))


def is_npm(document: Any) -> bool:
    """The npm registry's document of a package."""
    return (
        isinstance(document, dict)
        and isinstance(document.get("dist-tags"), dict)
        and isinstance(document.get("name"), str)
    )


def read_npm(document: dict[str, Any]) -> Iterator[Record]:
    """One record: the version that the tag `latest` names."""
    latest = document["dist-tags"].get("latest")
    times = document.get("time")
    published = time(times.get(latest)) if isinstance(times, dict) else None
    found = (None, latest, published) if isinstance(latest, str) else None
    yield from _of_registry("npm", document["name"], found)


def _of_registry(ecosystem: str, name: Any, found: tuple[Any, ...] | None) -> Iterator[Record]:
    if not isinstance(name, str) or found is None:
        yield Problem(f"newest version in {ecosystem}", f"{str(name)[:80]!r} has none")
        return
    try:
        plain = normal_name(ecosystem, string(name, "name"))
        yield NewestRecord(ecosystem, plain, string(found[1], "version"), found[2])
    except UnusableError as error:
        yield Problem(f"newest version in {ecosystem}", str(error))
