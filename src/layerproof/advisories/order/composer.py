"""Composer's order: Composer's VersionParser, then PHP's version_compare.

Parts are numbers and words: anything < dev < alpha < beta < RC < the end < a number < pl. The first
four numbers are always there; what stands after `+` is metadata.
"""

import re

from layerproof.advisories.order import Key, number

_PART = re.compile(r"[0-9]+|[A-Za-z]+")
_RANKS = {
    "dev": 1,
    "alpha": 2,
    "a": 2,
    "beta": 3,
    "b": 3,
    "rc": 4,
    "c": 4,
    "pl": 7,
    "p": 7,
    "patch": 7,
    "stable": 5,
}
_OTHER, _END, _NUMBER = 0, 5, 6
_NUMBERS = 4


def key(version: str) -> Key:
    """See the package. Branches (`dev-main`) are older than all versions."""
    text = version.strip().partition("+")[0].lower()
    if text.startswith("dev-"):
        return ((-1, text),)
    parts = _PART.findall(text.removeprefix("v"))
    head = 0
    while head < len(parts) and parts[head][0].isdigit():
        head += 1
    parts[head:head] = ["0"] * (_NUMBERS - head)
    found = [_part(part) for part in parts if part != "stable"]
    return (*found, (_END, ""))


def _part(text: str) -> Key:
    if text[0].isdigit():
        return _NUMBER, number(text)
    rank = _RANKS.get(text, _OTHER)
    return rank, "" if rank else text
