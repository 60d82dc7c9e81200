"""Attacks that show in the context alone: one axis of an honest push is changed, all else stays.

Each attacker studies the history before his push and changes one thing, by an ATT&CK technique:

- `stolen-account` (T1078): an account that is active elsewhere pushes where it never did.
- `new-account` (T1136): an account that nobody has seen pushes into a repository that stands.
- `typosquat-repository` (T1036): a repository one edit from a known one, by a new or known one.
- `odd-hour` (T1078): the account that pushes there, on that day, at the hour when it pushes least.
- `dormant-account` (T1078): an account that pushed there, but nothing anywhere for a year.
- `foreign-source` (T1133): the usual account and hour from a country where it never was.

What an attacker cannot do with the history at hand (nobody is dormant yet) yields no attack.
"""

import random
import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

from layerproof.model.digest import Digest
from layerproof.model.event import Event
from learning.cases import NO_ATTACK, Case
from learning.history import History, walk

DORMANT = timedelta(days=365)
ACTIVE = timedelta(days=180)
REGULAR = 3  # pushes from which on an account is worth stealing
HABIT = 20  # pushes from which on an account has usual hours
FOREIGN = ("KP", "BY", "VN", "NG", "PA", "KZ", "MD", "PK", "VE", "LA")

Attack = Callable[[Event, History, random.Random], Event | None]


def stolen_account(event: Event, history: History, chance: random.Random) -> Event | None:
    """See the module."""
    there = [
        account
        for account, repositories in history.repositories_of.items()
        if event.repository not in repositories
        and history.by_account[account] >= REGULAR
        and len(repositories) <= 8
        and event.at - history.last_of_account[account] <= ACTIVE
    ]
    if not there or event.repository not in history.by_repository:
        return None
    return replace(event, account=chance.choice(sorted(there)))


def new_account(event: Event, history: History, chance: random.Random) -> Event | None:
    """See the module."""
    if event.repository not in history.by_repository:
        return None
    return replace(event, account=f"{chance.getrandbits(48):012x}")


def typosquat_repository(event: Event, history: History, chance: random.Random) -> Event | None:
    """See the module."""
    folder, _, name = event.repository.rpartition("/")
    if event.repository not in history.by_repository or len(name) < 3:
        return None
    for _ in range(20):
        almost = f"{folder}/{one_edit(name, chance)}"
        if almost not in history.by_repository:
            known = chance.random() < 0.5
            account = event.account if known else f"{chance.getrandbits(48):012x}"
            return replace(event, repository=almost, account=account)
    return None


def one_edit(name: str, chance: random.Random) -> str:
    """A letter lost, doubled, swapped with its neighbour or replaced; never `name` itself."""
    while True:
        at = chance.randrange(len(name) - 1)
        way = chance.randrange(4)
        edited = (
            name[:at] + name[at + 1 :],
            name[: at + 1] + name[at:],
            name[:at] + name[at + 1] + name[at] + name[at + 2 :],
            name[:at] + chance.choice(string.ascii_lowercase) + name[at + 1 :],
        )[way]
        if edited != name and edited[0].isalnum() and edited[-1].isalnum():
            return edited


def odd_hour(event: Event, history: History, chance: random.Random) -> Event | None:
    """See the module. Only times after the twin's, so that nothing of the history is lost."""
    account = event.account
    if history.by_account[account] < HABIT:
        return None
    later = [hour for hour in range(24) if (hour - event.at.hour) % 24 > 0]
    least = min(history.near_hour(account, hour) for hour in later)
    hour = chance.choice([h for h in later if history.near_hour(account, h) == least])
    if history.near_hour(account, hour) * 24 > history.by_account[account]:
        return None  # it pushes around the clock: there is no odd hour
    return replace(event, at=event.at + timedelta(hours=(hour - event.at.hour) % 24))


def dormant_account(event: Event, history: History, chance: random.Random) -> Event | None:
    """See the module."""
    asleep = [
        account
        for account in history.accounts_of.get(event.repository, ())
        if event.at - history.last_of_account[account] > DORMANT
    ]
    return replace(event, account=chance.choice(sorted(asleep))) if asleep else None


def foreign_source(event: Event, history: History, chance: random.Random) -> Event | None:
    """See the module."""
    if not event.country or event.account not in history.by_account:
        return None
    never = [c for c in FOREIGN if (event.account, c) not in history.by_country]
    address = f"203.0.113.{chance.randrange(1, 255)}"
    return replace(event, country=chance.choice(never), address=address) if never else None


def no_attack(event: Event, _history: History, _chance: random.Random) -> Event:
    """The pipeline alone: another report of the same push."""
    return event


ATTACKS: Mapping[str, Attack] = {
    "stolen-account": stolen_account,
    "new-account": new_account,
    "typosquat-repository": typosquat_repository,
    "odd-hour": odd_hour,
    "dormant-account": dormant_account,
    "foreign-source": foreign_source,
    NO_ATTACK: no_attack,
}


def inject(
    events: Sequence[Event],
    twins: Sequence[Event],
    families: Sequence[str],
    per_family: int,
    seed: int,
) -> list[Case]:
    """Up to `per_family` attacks of each family, made from `twins` (sorted by time) at their times,
    against the history of `events`. The same seed gives the same attacks."""
    chance = random.Random(f"context {seed}")
    wanted: list[tuple[Event, str]] = []
    for family in families:
        picked = sorted(chance.sample(range(len(twins)), min(len(twins), 4 * per_family)))
        wanted += [(twins[n], family) for n in picked]
    wanted.sort(key=lambda item: (item[0].at, item[0].identity, item[1]))
    made: dict[str, list[Case]] = {family: [] for family in families}
    for history, twin, family in walk(events, wanted):
        found = ATTACKS[family](twin, history, chance)
        if found is not None:
            identity = f"{family}/{seed}/{twin.identity}"
            digest = found.manifest_digest and Digest.of(identity.encode())
            case = Case(
                replace(found, identity=identity, manifest_digest=digest), family, twin.identity
            )
            made[family].append(case)
    kept = [
        case
        for family in families
        for case in chance.sample(made[family], min(per_family, len(made[family])))
    ]
    return sorted(kept, key=lambda case: (case.event.at, case.event.identity))
