"""docs/benchmarks.md: a section for each benchmark, each written by its own."""

import os
import platform
import re
from pathlib import Path

PAGE = Path(__file__).resolve().parent.parent / "docs" / "benchmarks.md"


def write_section(name: str, intro: str, text: str) -> None:
    """Replace the section of this name, or add it at the end. `text`: a table, in a block."""
    section = f"<!-- {name} -->\n{intro.strip()}\n\n```text\n{text.strip()}\n```\n<!-- /{name} -->"
    page = PAGE.read_text()
    found = re.compile(f"<!-- {name} -->.*?<!-- /{name} -->", re.DOTALL)
    if found.search(page):
        page = found.sub(lambda _: section, page)
    else:
        page = f"{page.rstrip()}\n\n{section}\n"
    PAGE.write_text(page)


def machine() -> str:
    """What the figures were taken on."""
    model = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return f"{os.cpu_count()} cores of {model}, Python {platform.python_version()}"
