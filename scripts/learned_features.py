"""Writes the table of features into docs/learning/how-it-works.md; a test compares the two.

python scripts/learned_features.py
"""

import sys
from pathlib import Path

from layerproof.learning.features import CONTENTS, CONTEXT

TARGET = Path(__file__).parents[1] / "docs" / "learning" / "how-it-works.md"
BEGIN, END = "<!-- features: begin -->\n", "<!-- features: end -->\n"


def table() -> str:
    """Both parts."""
    lines = []
    for title, features in (("Context", CONTEXT), ("Contents, of each layer", CONTENTS)):
        lines += [f"### {title}\n", "| feature | kind | who controls it | may | says |"]
        lines.append("| --- | --- | --- | --- | --- |")
        for f in features:
            may = "raise trust" if f.up else "lower trust"
            words = f.words.replace("{}", "…")
            lines.append(f"| `{f.name}` | {f.kind} | {f.control} | {may} | {words} |")
        lines.append("")
    return "\n".join(lines)


def page(text: str) -> str:
    """The page with today's table."""
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n{table()}\n{END}{tail}"


if __name__ == "__main__":
    TARGET.write_text(page(TARGET.read_text(encoding="utf-8")), encoding="utf-8")
    sys.stdout.write(f"wrote {TARGET}\n")
