"""NuGet's order: Microsoft "Package versioning": SemVer 2.0.0 with four numbers, in any case."""

import re

from layerproof.advisories.order import Key, number

_VERSION = re.compile(r"v?([0-9]+(?:\.[0-9]+)*)(?:\.?-?([^+]*))?(?:\+.*)?", re.DOTALL)
_NUMBERS = 4


def key(version: str) -> Key:
    """See the package. A text that begins with no number is older than all versions."""
    text = version.strip().lower()
    match = _VERSION.fullmatch(text)
    if match is None:
        return (0, text)
    numbers = [number(digits) for digits in match[1].split(".")]
    numbers += [number("0")] * (_NUMBERS - len(numbers))
    while len(numbers) > _NUMBERS and numbers[-1] == number("0"):
        numbers.pop()
    if not match[2]:
        return (1, tuple(numbers), (1,))
    return (1, tuple(numbers), (0, *map(_label, match[2].split("."))))


def _label(text: str) -> Key:
    numeric = text.isascii() and text.isdigit()
    return (0, number(text)) if numeric else (1, text)
