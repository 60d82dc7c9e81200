"""Debian's order: deb-version(7), Debian Policy section 5.6.12.

Epoch, upstream version, revision; each of the last two in turns of a part without digits, in which
`~` sorts before the end, the end before letters, letters before all else, and a number.
"""

import re

from layerproof.advisories.order import Key, number

_TURN = re.compile(r"([^0-9]*)([0-9]*)")
_END = ((0,), (0, ""))


def _weight(character: str) -> int:
    if character == "~":
        return -1
    letter = "a" <= character <= "z" or "A" <= character <= "Z"
    return ord(character) if letter else ord(character) + 256


def _part(text: str) -> Key:
    turns = [
        ((*map(_weight, words), 0), number(digits))
        for words, digits in _TURN.findall(text)
        if words or digits
    ]
    while turns and turns[-1] == _END:  # "" and "0" are equal
        turns.pop()
    return (*turns, _END)


def key(version: str) -> Key:
    """See the package."""
    epoch, colon, rest = version.strip().partition(":")
    if not colon or not (epoch.isascii() and epoch.isdigit()):
        epoch, rest = "0", version.strip()
    upstream, _, revision = rest.rpartition("-") if "-" in rest else (rest, "", "")
    return number(epoch), _part(upstream), _part(revision)
