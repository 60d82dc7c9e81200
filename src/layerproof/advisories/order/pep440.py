"""Python's order: PEP 440 by `packaging`; what it refuses is older than all that it reads.

Such legacy versions are ordered as setuptools did before PEP 440: words and numbers in turns, words
before numbers, those of a pre-release before the end.
"""

import re

from packaging.version import InvalidVersion, Version

from layerproof.advisories.order import Key, number

_PARTS = re.compile(r"[0-9]+|[a-z]+|-")
_ALIASES = {"pre": "c", "preview": "c", "rc": "c", "-": "final-", "dev": "@"}
_MAX = 1_000  # characters that `packaging` is given: its pattern backtracks, and it parses numbers


def key(version: str) -> Key:
    """See the package."""
    text = version.strip()
    if len(text) <= _MAX:
        try:
            return (1, Version(text))
        except InvalidVersion:
            pass
    return (0, *_legacy(text.lower()))


def _legacy(text: str) -> Key:
    parts: list[Key] = []
    for part in _PARTS.findall(text):
        if part[0].isdigit():
            parts.append((1, number(part)))
            continue
        word = "*" + _ALIASES.get(part, part)
        if word < "*final":  # of a pre-release: dashes and zeros before it mean nothing
            while parts and parts[-1] in ((0, "*final-"), (1, (0, ""))):
                parts.pop()
        parts.append((0, word))
    return (*parts, (0, "*final"))
