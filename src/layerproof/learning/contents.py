"""The contents row of one layer: what it does, compared with what was done here and anywhere.

The history before the occasion is all that it is compared with; the layer itself is hostile.
"""

from layerproof.learning.features import CONTENTS, Row, best, bucket, worst
from layerproof.learning.history import Case, History, counts_of, repository_of
from layerproof.learning.profile import Profile
from layerproof.learning.tables import number

_WORST = tuple(map(worst, CONTENTS))
_BEST = tuple(map(best, CONTENTS))
_MOST_NEAR = 20  # unknown packages of a layer whose names are compared
UNKNOWN = Row(_WORST, _BEST, ("the contents",))
_HERE = tuple(at for at, f in enumerate(CONTENTS) if f.name.endswith(("-here", "-more")))


def contents_rows(history: History, case: Case) -> tuple[Row | None, ...]:
    """One per layer, lowest first; one for all where nothing is known of the contents. None for a
    layer at its place in an image that somebody vouched for: exact facts come first."""
    if not case.profiles:
        return (UNKNOWN,)
    repository = repository_of(case.occasion)
    config = _config(history, case.config, repository)
    return tuple(
        _row_of(history, profile, chain, repository, config)
        for profile, chain in zip(case.profiles, _chains(case), strict=True)
    )


def _chains(case: Case) -> list[str]:
    """Per layer; a swapped layer has a chain of its own."""
    known = case.occasion.chain_ids
    return [
        profile.chain if profile is not None else (known[at] if at < len(known) else "")
        for at, profile in enumerate(case.profiles)
    ]


def _row_of(
    history: History,
    profile: Profile | None,
    chain: str,
    repository: str,
    config: tuple[int, int],
) -> Row | None:
    if number(chain) in history.vouched:
        return None
    return UNKNOWN if profile is None else _row(history, profile, repository, config)


def _config(history: History, config: tuple[int, ...], repository: str) -> tuple[int, int]:
    """How many aspects of the config were seen nowhere, and not here."""
    new = sum(aspect not in history.configs for aspect in config)
    if not history.days.count(f"k\0{repository}"):
        return min(new, 3), min(new, 3)
    here = sum(number(f"{repository}\0{aspect}") not in history.configs_here for aspect in config)
    return min(new, 3), min(here, 3)


def _row(history: History, profile: Profile, repository: str, config: tuple[int, int]) -> Row:
    values = contents_values(history, profile, repository, config)
    if repository:
        return Row(values, values)
    low, high = list(values), list(values)  # what is usual here cannot be told
    for at in _HERE:
        low[at], high[at] = _WORST[at], _BEST[at]
    return Row(tuple(low), tuple(high), ("the repository",))


def contents_values(
    history: History, profile: Profile, repository: str, config: tuple[int, int]
) -> tuple[int, ...]:
    """In the order of `features.CONTENTS`."""
    known_days = history.days.count(f"k\0{repository}")
    usual = history.usual.get(repository, _NOTHING)
    programs = sum(p not in history.programs for p in profile.programs)
    applications = sum(p not in history.programs for p in profile.applications)
    fresh = [p for p in profile.packages if p not in history.packages]
    most = counts_of(profile)
    more = [bucket(max(count - often, 0)) for count, often in zip(most, usual, strict=True)]
    deeds = sum(deed not in history.deeds for deed in profile.deeds)
    if known_days:
        here = sum(number(f"{repository}\0{d}") not in history.deeds_here for d in profile.deeds)
    else:
        here = deeds
    return (
        int(number(f"{repository}\0{profile.chain}") in history.layers_here),
        min(history.contents_pushers.others(profile.diff, ""), 3),
        bucket(known_days),
        bucket(programs),
        min(more[0], bucket(programs)),
        bucket(applications),
        min(more[1], bucket(applications)),
        bucket(profile.altered),
        more[2],
        bucket(profile.overrides),
        more[3],
        bucket(profile.deletions),
        more[4],
        bucket(profile.privileged),
        more[5],
        bucket(profile.sensitive),
        more[6],
        bucket(profile.secrets),
        bucket(sum(s not in history.scripts for s in profile.scripts)),
        bucket(len(fresh)),
        min(more[7], bucket(len(fresh))),
        min(_near(history, fresh), 2),
        bucket(deeds),
        bucket(here),
        *config,
        bucket(profile.unread),
    )


_NOTHING = (0,) * 8


def _near(history: History, fresh: list[str]) -> int:
    found = 0
    for package in fresh[:_MOST_NEAR]:
        kind, _, name = package.partition(":")
        found += bool(history.package_names(kind).near(name))
    return found
