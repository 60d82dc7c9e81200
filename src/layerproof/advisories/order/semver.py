"""Semantic Versioning 2.0.0 section 11: npm, Go, Cargo and others.

Read leniently: a `v` before it, fewer than three numbers (the rest are 0), more than three (they
count as build metadata, which has no order).
"""

import re

from layerproof.advisories.order import Key, number

_VERSION = re.compile(
    r"[vV=]?([0-9]+)(?:\.([0-9]+))?(?:\.([0-9]+))?((?:\.[^-+]*)?)(?:-([^+]*))?(?:\+.*)?", re.DOTALL
)
_ZERO = number("0")


def key(version: str) -> Key:
    """See the package. A text that begins with no number is older than all versions."""
    match = _VERSION.fullmatch(version.strip())
    if match is None:
        return (0, version.strip())
    numbers = tuple(number(digits or "0") for digits in match.group(1, 2, 3))
    if match[5] is None:
        return (1, numbers, (1,))
    return (1, numbers, (0, *map(_identifier, match[5].split("."))))


def _identifier(text: str) -> Key:
    numeric = text.isascii() and text.isdigit()
    return (0, number(text)) if numeric else (1, text)
