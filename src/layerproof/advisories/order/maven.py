"""Maven's order: "POM Reference", "Version Order Specification", as of Maven 4.

Tokens are split at dots, dashes and between digits and letters (which counts as a dash). Values
that mean nothing (0, "", final, ga, release) are dropped before a dash and at the end.
"""

import re

from layerproof.advisories.order import Key, number

_TOKEN = re.compile(r"([.\-_]?)([0-9]+|[^0-9.\-_]+|(?=[.\-_]|\Z))")
_EARLY, _END, _LATE, _DASHED, _DOTTED = range(5)  # kinds of token, from the oldest
_ORDER = {"alpha": 0, "beta": 1, "milestone": 2, "rc": 3, "cr": 3, "snapshot": 4}
_SHORT = {"a": "alpha", "b": "beta", "m": "milestone"}
_NOTHING = frozenset(("", "final", "ga", "release"))


def key(version: str) -> Key:
    """See the package."""
    text = version.strip().lower()
    found: list[Key] = []
    zeros = 0  # of the numbers since the last dash
    dashed = False  # the next number begins a list
    nothing = False  # the last word meant nothing
    after_word: bool | None = None
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None or match.end() == at:
            break
        at = match.end()
        separator, token = match.groups()
        numeric = token[:1].isdigit() or not token
        # between digits and letters there is a dash that nobody wrote
        if separator in ("-", "_") or (not separator and after_word is not None):
            zeros, dashed = 0, True
        if numeric:
            if token.strip("0"):
                found.append((_DASHED if dashed else _DOTTED, -zeros, number(token)))
                zeros, dashed, nothing = 0, False, False
            else:
                zeros += 1
        else:
            follows = text[at : at + 1].isdigit()
            word = _SHORT.get(token, token) if follows else token
            if nothing and word not in _NOTHING:
                found.append((_END, 1, 0))  # `1.0.final-redhat` is before `1.0-sp1-redhat`
            nothing = word in _NOTHING
            if word in _ORDER:
                found.append((_EARLY, 0, _ORDER[word]))
            elif word not in _NOTHING:
                found.append((_LATE, 0, ("" if word == "sp" else word)))
            zeros, dashed = 0, False
        after_word = not numeric
    return (*found, (_END, 0, 0))
