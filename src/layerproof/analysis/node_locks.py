"""Node packages that lock files name: npm, Yarn and pnpm.

Source: npm docs "package-lock.json" (versions 1 to 3); yarnpkg.com "yarn.lock"; pnpm.io
"pnpm-lock.yaml". What is locked need not be installed: `Package.locked` tells them apart. Of Yarn's
and pnpm's files only the lines that name packages are read, in any of their versions.
"""

import re
from collections.abc import Iterator
from typing import Any

from layerproof.analysis.collecting import (
    ManyInOneFile,
    UnusableFieldError,
    json_object,
    required,
)
from layerproof.analysis.interface import Collector, Interest
from layerproof.model.package import Package, PackageType

_NPM = (b"package-lock.json", b"npm-shrinkwrap.json")
_YARN, _PNPM = b"yarn.lock", b"pnpm-lock.yaml"
# Possessive (`*+`): hostile lines must not make the search take the square of their length
_YARN_ENTRY = re.compile(
    rb'^"?((?:@[^/@\s"]+/)?[^@\s",:]+)@[^\n]*+\n(?:[ ]++[^\n]*+\n)*?[ ]++version:? "?([^"\s]++)"?',
    re.MULTILINE,
)
# `  /name/1.0.0:`, `  /@scope/name@1.0.0(peer@2.0.0):`, `  'name@1.0.0':`
_PNPM_ENTRY = re.compile(
    rb"^  ['\"]?/?((?:@[^/@\s'\"]+/)?[^/@\s'\":]+)[/@]([0-9][^()_\s'\":]*+)[^\n]*$", re.MULTILINE
)
_MAX_DEPTH = 100


def accepts(path: bytes) -> bool:
    """Whether the path is a lock file of a project; those inside of packages lock nothing."""
    return b"/node_modules/" not in b"/" + path


def parse(path: bytes, data: bytes) -> Iterator[Package]:
    """The packages of a lock file. Raises UnusableFieldError."""
    name = path.rpartition(b"/")[2]
    if name in _NPM:
        yield from dict.fromkeys(_npm(path, json_object(data)))
    else:
        pattern = _YARN_ENTRY if name == _YARN else _PNPM_ENTRY
        for found in dict.fromkeys(pattern.findall(data)):
            yield _package(path, *found)


def _npm(path: bytes, document: dict[str, Any]) -> Iterator[Package]:
    packages = document.get("packages")
    if isinstance(packages, dict):
        for place, item in packages.items():
            if not place or not isinstance(item, dict) or item.get("link"):
                continue  # the project itself, or a folder of it
            stated = item.get("name")
            name = stated if isinstance(stated, str) else place.rpartition("node_modules/")[2]
            if isinstance(item.get("version"), str):
                yield _package(path, _encoded(name), _encoded(item["version"]))
        return
    stack = [(document.get("dependencies"), 0)]
    while stack:
        dependencies, depth = stack.pop()
        if not isinstance(dependencies, dict):
            continue
        if depth > _MAX_DEPTH:
            raise UnusableFieldError(f"more than {_MAX_DEPTH} dependencies in each other")
        for name, item in dependencies.items():
            if isinstance(item, dict) and isinstance(item.get("version"), str):
                if ":" not in item["version"]:  # else from a file, a folder or git
                    yield _package(path, _encoded(name), _encoded(item["version"]))
                stack.append((item.get("dependencies"), depth + 1))


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def _package(path: bytes, name: bytes, version: bytes) -> Package:
    return Package(PackageType.NPM, required(name, "name"), required(version, "version"), path)


class NodeLocksAnalyser:
    """Packages only."""

    id = "node-locks"
    version = 1
    interest = Interest(names=frozenset((*_NPM, _YARN, _PNPM)), accepts=accepts)

    def start(self) -> Collector:
        """A fresh collector."""
        return ManyInOneFile(self.id, accepts, parse)
