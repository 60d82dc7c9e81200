"""Alpine's order: apk-package(5) "version", as apk-tools 3 compares.

    number {. number} [letter] {_suffix [number]} [~ hash] [-r number]

Versions are compared token by token. Where the kinds of two tokens differ, the later kind of the
line above is the older version, but a suffix of a pre-release is older than all. What breaks the
grammar is older than what ends there.
"""

import re

from layerproof.advisories.order import Key, number

# From the oldest to the newest of the tokens that may stand in one place
_PRE, _INVALID, _END, _REVISION, _HASH, _SUFFIX_NUMBER, _SUFFIX, _LETTER, _DIGIT = range(9)
_SUFFIXES = {
    name: place
    for place, name in enumerate(("alpha", "beta", "pre", "rc", "", "cvs", "svn", "git", "hg", "p"))
    if name
}
_NONE = 4  # between the suffixes of a pre-release and those of a later one
_TOKEN = re.compile(
    r"\.(?P<digit>[0-9]+)|(?P<letter>[a-z])|_(?P<suffix>[a-z]+)(?P<count>[0-9]*)"
    r"|~(?P<hash>[0-9a-f]+)|-r(?P<revision>[0-9]*)(?![a-z])"
)
_FIRST = re.compile(r"[0-9]+")


def _digit(digits: str) -> Key:
    """With leading zeros it is a fraction: `1.01` is before `1.1`, and `1.010` after `1.01`."""
    return (0, digits) if digits.startswith("0") else (1, *number(digits))


def key(version: str) -> Key:
    """See the package."""
    version = version.strip()
    first = _FIRST.match(version)
    if first is None:
        return ((_INVALID, version),)
    tokens: list[Key] = [(_DIGIT, number(first[0]))]
    at, last = first.end(), _DIGIT
    while at < len(version):
        match = _TOKEN.match(version, at)
        found = _read(match, last) if match else None
        if match is None or found is None:
            # of what stands after a dash, apk makes no difference
            tokens.append((_INVALID, "" if version[at] == "-" else version[at:]))
            return tuple(tokens)
        tokens += found
        last = found[-1][0] or _SUFFIX
        at = match.end()
    return (*tokens, (_END, ""))


def _read(match: re.Match[str], last: int) -> list[Key] | None:
    """The tokens of a match; None where it may not follow a token of the kind `last`."""
    if match["digit"] is not None:
        return [(_DIGIT, _digit(match["digit"]))] if last == _DIGIT else None
    if match["letter"] is not None:
        return [(_LETTER, match["letter"])] if last == _DIGIT else None
    if match["suffix"] is not None:
        place = _SUFFIXES.get(match["suffix"])
        if place is None or last < _SUFFIX_NUMBER:
            return None
        found: list[Key] = [(_PRE if place < _NONE else _SUFFIX, place)]
        if match["count"]:
            found.append((_SUFFIX_NUMBER, number(match["count"])))
        return found
    if match["hash"] is not None:
        return [(_HASH, match["hash"])] if last > _HASH else None
    return [(_REVISION, number(match["revision"]))] if last > _REVISION else None
