"""The context row of an occasion: from the history before it, and from nothing else.

What can be rented (country, hour) is bounded by the pusher's own counted days, hard evidence:
without these it is 0, whatever the country.
"""

from layerproof.learning.features import CONTEXT, TOP, Row, best, bucket, worst
from layerproof.learning.history import (
    DAY,
    History,
    account_of,
    namespace_of,
    part_of_day,
    repository_of,
)
from layerproof.learning.names import shape
from layerproof.learning.tables import number
from layerproof.model.learned import Occasion

_LATELY = 2 * DAY  # how long strays are told against an account
_MOST_SHARED = 64  # shared repositories from which on more do not matter
_ENOUGH_FORMS = 5  # days of pushes before an unknown form of tag means something

_AT = {feature.name: at for at, feature in enumerate(CONTEXT)}
# What cannot be told when the report does not say it.
_OF_ACCOUNT = (
    "pusher-here", "pusher-days", "pusher-age", "pusher-below", "pusher-hour", "pusher-strays",
    "pusher-repositories", "co-repositories", "country-pusher", "pusher-pulls",
)  # fmt: skip
_OF_REPOSITORY = (
    "pusher-here", "pusher-below", "pushers-here", "repository-days", "repository-age",
    "repository-quiet", "layers-here", "co-repositories", "country-here", "country-pulls",
    "pullers-here", "pusher-pulls", "name-near", "name-below", "tag-form-new",
)  # fmt: skip
_OF_COUNTRY = ("country-pusher", "country-here", "country-days", "country-pulls")
_OF_LAYERS = ("layers-here", "layers-known", "layer-repositories", "layer-pullers")
_RENTED = ("country-here", "country-days", "country-pulls")  # need the account, too


def context_row(history: History, occasion: Occasion) -> Row:
    """Advance the history to the occasion before; this changes nothing."""
    unknown: dict[str, None] = {}
    missing = []
    for known, words, names in (
        (occasion.account, "who pushed it", (*_OF_ACCOUNT, *_RENTED)),
        (occasion.repository, "the repository", _OF_REPOSITORY),
        (occasion.country, "the country of the source", _OF_COUNTRY),
        (occasion.chain_ids, "the layers", _OF_LAYERS),
        (occasion.tag, "the tag", ("tag-form-new",)),
    ):
        if not known:
            missing.append(words)
            unknown.update(dict.fromkeys(names))
    values = _values(history, occasion)
    if not unknown:
        return Row(values, values)
    low, high = list(values), list(values)
    for name in unknown:
        at = _AT[name]
        low[at], high[at] = worst(CONTEXT[at]), best(CONTEXT[at])
    return Row(tuple(low), tuple(high), tuple(missing))


def group_of(history: History, occasion: Occasion) -> str:
    """The class of repositories that it is compared with; "" where the repository is not known."""
    if not occasion.repository:
        return ""
    days = history.days.count(f"r\0{repository_of(occasion)}")
    if days == 0:
        return "new"
    return "young" if days < 10 else "settled"


def _values(history: History, occasion: Occasion) -> tuple[int, ...]:
    repository, account = repository_of(occasion), account_of(occasion)
    namespace = namespace_of(repository)
    at = occasion.at.timestamp()
    day = int(at) // DAY
    days, count = history.days, history.days.count
    own = bucket(count(f"a\0{account}"))
    base = occasion.chain_ids[0] if occasion.chain_ids else ""
    country = occasion.country
    repository_days = count(f"r\0{repository}")
    here, known = _lowest_known(history, occasion, repository)
    values = {
        "pusher-here": bucket(count(f"ar\0{account}\0{repository}")),
        "pusher-days": own,
        "pusher-age": bucket(_weeks(days.first(f"a\0{account}"), day)),
        "pusher-below": bucket(count(f"an\0{account}\0{namespace}")),
        "pushers-here": bucket(history.pushers.others(repository, account)),
        "pusher-hour": bucket(_around(history, account, part_of_day(occasion.at))),
        "pusher-strays": bucket(_strays(history, account, repository, at)),
        "repository-days": bucket(repository_days),
        "repository-age": bucket(_weeks(days.first(f"r\0{repository}"), day)),
        "repository-quiet": bucket(_weeks(days.last(f"r\0{repository}"), day)),
        "layers-here": bucket(here),
        "layers-known": bucket(known),
        "layer-repositories": _holders(history, base),
        "pusher-repositories": bucket(_trusted(history, account, repository)),
        "co-repositories": bucket(_shared(history, account, repository)),
        "country-pusher": bucket(count(f"ac\0{account}\0{country}")),
        "country-here": min(bucket(count(f"rc\0{repository}\0{country}")), own),
        "country-days": min(bucket(count(f"c\0{country}")), own),
        "country-pulls": min(bucket(count(f"pc\0{repository}\0{country}")), own),
        "pullers-here": bucket(history.pullers.others(repository, account)),
        "layer-pullers": bucket(history.layer_pullers.others(base, account)),
        "pusher-pulls": bucket(count(f"pr\0{account}\0{repository}")),
        "name-near": int(repository_days == 0 and bool(history.names().near(repository))),
        "name-below": bucket(count(f"n\0{namespace}")),
        "tag-form-new": int(
            repository_days >= _ENOUGH_FORMS
            and not history.forms.has(repository, shape(occasion.tag))
        ),
    }
    return tuple(values.values())


def _weeks(since: int | None, day: int) -> int:
    return max(day - since, 0) // 7 if since is not None else 0


def _around(history: History, account: str, part: int) -> int:
    """Days on which the account pushed in this part of the day or one beside it."""
    around = ((part + step) % 8 for step in (-1, 0, 1))
    return max(history.days.count(f"ah\0{account}\0{p}") for p in around)


def _strays(history: History, account: str, repository: str, at: float) -> int:
    found = history.strays.get(account)
    if not found:
        return 0
    return sum(at - _LATELY <= when <= at for r, when in found.items() if r != repository)


def _lowest_known(history: History, occasion: Occasion, repository: str) -> tuple[int, int]:
    """How many of the lowest layers are known from here, and from anywhere. A layer that somebody
    vouched for is known everywhere."""

    here = known = 0
    for position, chain in enumerate(occasion.chain_ids[:64]):
        vouched = number(chain) in history.vouched
        if not vouched and not history.layer_repositories.of(chain):
            break
        if vouched or number(f"{repository}\0{chain}") in history.layers_here:
            here = position + 1
        known = position + 1
    return here, known


def _holders(history: History, base: str) -> int:
    """The feature's value: trusted repositories that hold the lowest layer."""
    if number(base) in history.vouched:
        return TOP
    return bucket(sum(history.trusts(r) for r in history.layer_repositories.of(base)))


def _trusted(history: History, account: str, repository: str) -> int:
    """Trusted repositories of the account besides this one."""
    mine = history.repositories.table.get(account)
    if not mine:
        return 0
    return len(mine.keys() & history.trusted) - (repository in mine and history.trusts(repository))


def _shared(history: History, account: str, repository: str) -> int:
    """Trusted repositories where both the account and another pusher of this one push, as far as
    they matter."""
    mine = history.repositories.table.get(account)
    if not mine:
        return 0
    shared: set[str] = set()
    for other in history.pushers.of(repository):
        theirs = history.repositories.table.get(other)
        if theirs and other != account:
            shared |= mine.keys() & theirs.keys()
            if len(shared) > _MOST_SHARED:
                break
    shared.discard(repository)
    return len(shared & history.trusted)
