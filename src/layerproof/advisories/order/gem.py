"""RubyGems' order: Gem::Version.

Numbers and words in turns; a word is older than a number; zeros before the first word and at the
end mean nothing, and the end is as good as a zero.
"""

import re

from layerproof.advisories.order import Key, number

_SEGMENT = re.compile(r"[0-9]+|[A-Za-z]+")
_END = (0, 0, "")


def key(version: str) -> Key:
    """See the package.

    A run of zeros is told together with what follows it: before a word, a longer run is newer;
    before a number, a longer run is older. So it compares rightly with the end, a run without one.
    """
    segments = _SEGMENT.findall(version.strip().replace("-", ".pre."))
    found: list[Key] = []
    zeros, words = 0, False
    for segment in segments:
        if not segment[0].isdigit():
            found.append((-1, zeros if words else 0, segment))
            zeros, words = 0, True
        elif segment.strip("0"):
            found.append((1, -zeros, number(segment)))
            zeros = 0
        else:
            zeros += 1
    return (*found, _END)
