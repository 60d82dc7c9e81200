"""How bad: CVSS vectors and feeds' words."""

from functools import lru_cache

from layerproof.model.vulnerability import LEVELS, Level

_WORDS = {
    "negligible": Level.NEGLIGIBLE,
    "unimportant": Level.NEGLIGIBLE,
    "untriaged": Level.UNKNOWN,
    "none": Level.NEGLIGIBLE,
    "low": Level.LOW,
    "minor": Level.LOW,
    "medium": Level.MEDIUM,
    "moderate": Level.MEDIUM,
    "high": Level.HIGH,
    "important": Level.HIGH,
    "critical": Level.CRITICAL,
}
_BOUNDS = ((9.0, Level.CRITICAL), (7.0, Level.HIGH), (4.0, Level.MEDIUM), (0.1, Level.LOW))


def level_of_word(word: object) -> Level:
    """What a feed's word means; unknown for any other."""
    return (
        _WORDS.get(word.strip().lower(), Level.UNKNOWN) if isinstance(word, str) else Level.UNKNOWN
    )


def level_of_score(score: float) -> Level:
    """CVSS v3.1 section 5, "Qualitative Severity Rating Scale"."""
    return next((level for bound, level in _BOUNDS if score >= bound), Level.NEGLIGIBLE)


@lru_cache(maxsize=65_536)
def score_of_vector(vector: str) -> float | None:
    """The base score of a CVSS v2, v3 or v4 vector; None for what is none."""
    from cvss import CVSS2, CVSS3, CVSS4  # type: ignore[import-untyped]  # only feeds need it
    from cvss.exceptions import CVSSError  # type: ignore[import-untyped]

    text = vector.strip()
    kind = CVSS4 if text.startswith("CVSS:4") else CVSS3 if text.startswith("CVSS:3") else CVSS2
    if len(text) > 512:
        return None
    try:
        return float(kind(text).scores()[0])
    except (CVSSError, ValueError, KeyError, IndexError, TypeError, ArithmeticError):
        return None


def worse(one: Level, other: Level) -> Level:
    """The worse of two; unknown is the mildest here."""
    return max(one, other, key=LEVELS.index)
