"""rpm's order: rpm-version(7), and rpmvercmp for its parts.

Epoch, version, release; each of the last two in segments of digits or of letters, whatever stands
between them. `~` sorts before the end, `^` after the end and before all else; a number is newer
than letters.
"""

import re

from layerproof.advisories.order import Key, number

_TILDE, _END, _CARET, _LETTERS, _NUMBER = range(5)
_SEGMENT = re.compile(r"[0-9]+|[A-Za-z]+|[~^]")
_MARKS = {"~": ((_TILDE,)), "^": ((_CARET,))}


def _segment(text: str) -> Key:
    if text in _MARKS:
        return _MARKS[text]
    return (_NUMBER, *number(text)) if text[0].isdigit() else (_LETTERS, text)


def _part(text: str) -> Key:
    return (*map(_segment, _SEGMENT.findall(text)), (_END,))


def key(version: str) -> Key:
    """See the package. A version without release is older than the same with one."""
    epoch, colon, rest = version.strip().partition(":")
    if not colon or not (epoch.isascii() and epoch.isdigit()):
        epoch, rest = "0", version.strip()
    if "-" not in rest:
        return number(epoch), _part(rest), ()
    upstream, _, release = rest.rpartition("-")
    return number(epoch), _part(upstream), _part(release)
