"""Advisories: importing 300,000 OSV records, and matching 2,000 packages against them.

The records are generated, in the shapes and sizes of real ones: six about each name, some with long
lists of versions. Of the packages most are newer than the fixes, as in an image that is looked
after; the table says how many vulnerabilities were found. The peer of the import is reading and
decoding the same archive and nothing else.
"""

import gc
import json
import os
import random
import sys
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path

from layerproof.advisories.match import advise
from layerproof.feeds.file import AdvisoryFile
from layerproof.model.package import Package, PackageType
from layerproof.model.release import Release
from measure import Cost, peak, run_once

RECORDS = 300_000
PACKAGES = 2_000
IMPORT_MEMORY = 500 << 20
MATCH_TARGET = 0.200
MiB = 1 << 20
_DECODE = (
    "import sys, zipfile, msgspec\n"
    "with zipfile.ZipFile(sys.argv[1]) as archive:\n"
    "    for member in archive.infolist(): msgspec.json.decode(archive.read(member))\n"
)


@dataclass(frozen=True, slots=True)
class Advised:
    """Costs. `small` is memory of matching with a tenth of the records."""

    load: Cost
    decode: Cost
    size: int
    match: float
    found: int
    memory: int
    small: int


def write_archive(path: Path, records: int) -> None:
    """An `all.zip` of generated records."""
    numbers = random.Random(7)
    text = "Lorem ipsum dolor sit amet, consetetur sadipscing elitr, sed diam nonumy eirmod. " * 12
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for number in range(records):
            top = f"{numbers.randrange(1, 9)}.{numbers.randrange(40)}.{numbers.randrange(20)}"
            versions = [f"0.{n}.0" for n in range(numbers.choice((0, 0, 0, 5, 20, 60)))]
            record = {
                "schema_version": "1.7.0",
                "id": f"GHSA-{number:09}",
                "aliases": [f"CVE-2026-{number:06}"],
                "modified": "2026-05-01T00:00:00Z",
                "published": "2026-04-01T00:00:00Z",
                "summary": text[:80],
                "details": text,
                "severity": [
                    {"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N"}
                ],
                "affected": [
                    {
                        "package": {
                            "ecosystem": "PyPI",
                            "name": f"package-{numbers.randrange(records // 6)}",
                        },
                        "ranges": [
                            {
                                "type": "ECOSYSTEM",
                                "events": [{"introduced": "0"}, {"fixed": top}],
                            }
                        ],
                        "versions": versions,
                    }
                ],
            }
            archive.writestr(f"{number}.json", json.dumps(record))


def _packages(records: int) -> list[tuple[Package, Release]]:
    numbers = random.Random(11)
    return [
        (
            Package(
                PackageType.PYPI,
                f"package-{numbers.randrange(records // 6)}",
                f"{numbers.randrange(6, 12)}.{numbers.randrange(40)}.0",
                b"usr/lib/python3/dist-packages/%d.dist-info/METADATA" % number,
            ),
            Release("debian", "12"),
        )
        for number in range(PACKAGES)
    ]


def match_once(path: Path, records: int) -> None:
    """In a process of its own: prints seconds, findings and the peak of its memory."""
    packages = _packages(records)
    gc.set_threshold(200_000, 20, 20)  # as the command line does
    start = time.perf_counter()
    file = AdvisoryFile(path)
    advice = advise(packages, {}, file)
    taken = time.perf_counter() - start
    found = sum(len(item.vulnerabilities) for item in advice.values())
    print(json.dumps([taken, found, peak(os.getpid())]))


def _match(path: Path, records: int) -> tuple[float, int, int]:
    import subprocess  # here: only the parent starts processes

    found = [
        json.loads(
            subprocess.run(
                [sys.executable, __file__, str(path), str(records)],
                check=True,
                capture_output=True,
                text=True,
            ).stdout
        )
        for _ in range(3)
    ]
    taken, count, memory = sorted(found)[1]
    return taken, count, memory


def measure_advisories(folder: Path, binary: Path) -> Advised:
    """Generate, import, match."""
    whole, tenth = folder / "all.zip", folder / "tenth.zip"
    write_archive(whole, RECORDS)
    write_archive(tenth, RECORDS // 10)

    def load(archive: Path, into: Path) -> Cost:
        env = {"LAYERPROOF_ADVISORIES": str(into), "LAYERPROOF_INDEX": str(folder / "i.db")}
        command = [str(binary), "advisories", "import", str(archive), "--quiet"]
        return run_once(command, sample=True, env=env)

    cost = load(whole, folder / "whole.db")
    load(tenth, folder / "tenth.db")
    decode = run_once([sys.executable, "-c", _DECODE, str(whole)], sample=True)
    taken, found, memory = _match(folder / "whole.db", RECORDS)
    _, _, small = _match(folder / "tenth.db", RECORDS // 10)
    return Advised(cost, decode, (folder / "whole.db").stat().st_size, taken, found, memory, small)


def advisory_table(found: Advised) -> list[str]:
    """Figures with their goals."""
    most = max(found.load.pss or 0, found.load.largest or 0)
    memory = "ok" if most <= IMPORT_MEMORY else "MISSES"
    match = "ok" if found.match <= MATCH_TARGET else "MISSES"
    return [
        "",
        f"advisories: {RECORDS:,} OSV records, {PACKAGES:,} packages",
        f"  import                  {found.load.wall:8.1f} s   {most / MiB:.0f} MB   {memory} "
        f"{IMPORT_MEMORY / MiB:.0f} MB   (file {found.size / MiB:.0f} MB)",
        f"  reading and decoding    {found.decode.wall:8.1f} s   the import takes "
        f"{found.load.wall / found.decode.wall:.1f} times as long",
        f"  matching, file opened   {found.match * 1000:8.0f} ms  {match} "
        f"{MATCH_TARGET * 1000:.0f} ms   ({found.found:,} found)",
        f"  memory of matching      {found.memory / MiB:8.0f} MB  with a tenth of the records "
        f"{found.small / MiB:.0f} MB",
    ]


if __name__ == "__main__":
    match_once(Path(sys.argv[1]), int(sys.argv[2]))
