"""Java archives: what Maven, Gradle and OSGi write into jar, war and ear files, nested ones too.

Source: "JAR File Specification"; Maven archiver, `META-INF/maven/GROUP/ARTIFACT/pom.properties`;
OSGi core, "Bundle Manifest Headers". In this order:

1. every `pom.properties` (a shaded archive has several) is a package;
2. without one, the manifest says name and version; the group is what it says of the vendor's id or
   of the bundle, or is not known;
3. without these, the archive's own name does: `ARTIFACT-VERSION.jar`.

Archives inside of archives are read in memory up to `MAX_DEPTH` and `MAX_BYTES`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from io import BytesIO
from typing import TYPE_CHECKING

from layerproof.analysis.collecting import ManyInOneFile, UnusableFieldError, licence, required
from layerproof.analysis.interface import Collector, Interest
from layerproof.model.package import Package, PackageType

if TYPE_CHECKING:
    from zipfile import ZipFile, ZipInfo

SUFFIXES = (b".jar", b".war", b".ear", b".jpi", b".hpi", b".par", b".sar", b".nar", b".kar")
MAX_DEPTH = 3
MAX_BYTES = 256 << 20  # of all nested archives and manifests of one file together
MAX_MEMBERS = 100_000  # of one file, nested archives included
MAX_TEXT = 1 << 20  # bytes of a manifest or properties file
_POM = re.compile(r"META-INF/maven/[^/]+/[^/]+/pom\.properties")
_NAME = re.compile(r"(.+?)-(\d[\w.+-]*?)(?:-(?:sources|javadoc|jar-with-dependencies))?")
_NESTED = tuple(suffix.decode() for suffix in SUFFIXES)
_ARTIFACT = re.compile(r"[A-Za-z0-9_.-]+")
_MAX_NAME = 256  # characters of a file's name that are taken apart


def parse(path: bytes, data: bytes) -> Iterator[Package]:
    """The packages of an archive. Raises UnusableFieldError, also after it gave some."""
    name = path.rpartition(b"/")[2].decode("utf-8", "replace")
    yield from _Archive(path).read(name, data, 0)


class _Archive:
    def __init__(self, path: bytes) -> None:
        self._path = path
        self._left = MAX_BYTES
        self._members_left = MAX_MEMBERS

    def read(self, name: str, data: bytes, depth: int) -> Iterator[Package]:
        # here: costs 7 ms and 2 MB in every process, and few layers have such archives
        import zipfile
        import zlib

        damaged = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)
        try:
            with zipfile.ZipFile(BytesIO(data)) as archive:
                members = archive.infolist()
                self._members_left -= len(members)
                if self._members_left < 0:
                    raise UnusableFieldError(f"more than {MAX_MEMBERS} members")
                yield from self._members(name, archive, members, depth)
        except UnusableFieldError:
            raise
        except (*damaged, ValueError, OSError, OverflowError) as error:
            raise UnusableFieldError(f"not a readable archive: {error}") from error

    def _members(
        self, name: str, archive: ZipFile, members: list[ZipInfo], depth: int
    ) -> Iterator[Package]:
        poms = [member for member in members if _POM.fullmatch(member.filename)]
        found = 0
        for member in poms:
            package = self._pom(self._text(archive, member))
            if package is not None:
                found += 1
                yield package
        if not found:
            package = self._of_manifest(name, archive, members)
            if package is not None:
                yield package
        for member in members:
            if member.filename.endswith(_NESTED) and not member.is_dir():
                yield from self._nested(archive, member, depth)

    def _nested(self, archive: ZipFile, member: ZipInfo, depth: int) -> Iterator[Package]:
        if depth >= MAX_DEPTH:
            raise UnusableFieldError(f"archives nested deeper than {MAX_DEPTH}")
        with archive.open(member) as file:
            data = file.read(max(self._left, 0) + 1)
        if len(data) > max(self._left, 0):
            raise UnusableFieldError(f"nested archives of more than {MAX_BYTES} bytes")
        self._left -= len(data)
        yield from self.read(member.filename.rpartition("/")[2], data, depth + 1)

    def _text(self, archive: ZipFile, member: ZipInfo) -> str:
        with archive.open(member) as file:
            data = file.read(MAX_TEXT + 1)
        self._left -= len(data)
        if len(data) > MAX_TEXT or self._left < 0:
            raise UnusableFieldError(f"manifests of more than {MAX_TEXT} or {MAX_BYTES} bytes")
        return data.decode("utf-8", "replace")

    def _pom(self, text: str) -> Package | None:
        fields = {}
        for line in text.splitlines():
            key, equals, value = line.partition("=")
            if equals and not line.startswith("#"):
                fields[key.strip()] = value.strip()
        group, artifact = fields.get("groupId", ""), fields.get("artifactId", "")
        version = fields.get("version", "")
        if not (group and artifact and version) or "${" in version:
            return None
        return self._package(f"{group}:{artifact}", version)

    def _of_manifest(self, name: str, archive: ZipFile, members: list[ZipInfo]) -> Package | None:
        member = next((m for m in members if m.filename.upper() == "META-INF/MANIFEST.MF"), None)
        headers = _headers(self._text(archive, member)) if member is not None else {}
        stem = name.rpartition(".")[0]
        match = _NAME.fullmatch(stem) if len(stem) <= _MAX_NAME else None
        bundle = headers.get("bundle-symbolicname", "").partition(";")[0].strip()
        artifact = match[1] if match else headers.get("implementation-title", "") or bundle or stem
        if not _ARTIFACT.fullmatch(artifact):  # a title for people
            artifact = stem
        version = (
            (match[2] if match else "")
            or headers.get("implementation-version", "")
            or headers.get("bundle-version", "")
            or headers.get("specification-version", "")
        )
        if not version or not artifact:
            return None
        group = headers.get("implementation-vendor-id", "")
        if not group and "." in bundle:
            group = bundle.removesuffix("." + artifact) if bundle.endswith(artifact) else bundle
        full = f"{group}:{artifact}" if _ARTIFACT.fullmatch(group) else artifact
        return self._package(full, version, headers.get("bundle-license", ""))

    def _package(self, name: str, version: str, words: str = "") -> Package:
        return Package(
            PackageType.MAVEN,
            required(name.encode("utf-8", "replace"), "name"),
            required(version.encode("utf-8", "replace"), "version"),
            self._path,
            licence=licence(words.encode("utf-8", "replace")),
        )


def _headers(text: str) -> dict[str, str]:
    """The main section of a manifest, names in lower case. A line that begins with a space goes
    on."""
    found: dict[str, str] = {}
    last = ""
    for line in text.splitlines():
        if not line.strip():
            break
        if line.startswith(" ") and last:
            found[last] += line[1:]
        else:
            name, _, value = line.partition(":")
            last = name.strip().lower()
            found[last] = value.strip()
    return found


def accepts(path: bytes) -> bool:
    """Every archive."""
    return path.endswith(SUFFIXES)


class JavaAnalyser:
    """Packages only."""

    id = "java"
    version = 1
    interest = Interest(suffixes=SUFFIXES)

    def start(self) -> Collector:
        """A fresh collector."""
        return ManyInOneFile(self.id, accepts, parse)
