"""A history as bytes, so that a verdict need not read events: msgpack, typed, the index's own.

Written by training, read by whoever scores. Pending events are part of it: they ripen later, so a
state of yesterday gives the answers of today, but for what was reported since.
"""

from datetime import UTC, datetime

import msgspec

from layerproof.errors import ModelError
from layerproof.learning.history import Case, History, Pending
from layerproof.learning.profile import Profile
from layerproof.model.digest import ChainId, Digest
from layerproof.model.event import EventKind
from layerproof.model.learned import Occasion

FORM = "layerproof.history/1"
MAX_BYTES = 256 << 20
_DAYS = ("days",)
_MEMBERS = (
    "pushers", "repositories", "pullers", "layer_repositories", "layer_pushers", "layer_pullers",
    "contents_pushers", "forms",
)  # fmt: skip
_SEEN = (
    "layers_here", "vouched", "programs", "scripts", "deeds", "deeds_here", "configs",
    "configs_here",
)  # fmt: skip


class _Profile(msgspec.Struct, frozen=True, array_like=True):
    chain: str
    diff: str
    counts: tuple[int, int, int, int, int, int, int]
    programs: list[int]
    applications: list[int]
    scripts: list[int]
    packages: list[str]
    deeds: list[int]


class _Pending(msgspec.Struct, frozen=True, array_like=True):
    due: float
    order: int
    at: float
    registry: str
    repository: str
    tag: str
    account: str
    country: str
    manifest: str
    kind: str
    chains: list[str]
    profiles: list[int]  # numbers of `_State.profiles`; -1: not indexed
    config: list[int]


class _State(msgspec.Struct, frozen=True):
    form: str
    maturity: int
    now: float
    counted: int
    order: int
    days: dict[str, tuple[int, int, int]]
    members: dict[str, dict[str, list[str]]]
    seen: dict[str, list[int]]
    packages: dict[str, int]
    usual: dict[str, list[int]]
    trusted: list[str]
    strays: dict[str, dict[str, float]]
    confirmed: list[str]
    disputed: list[str]
    profiles: list[_Profile]
    pending: list[_Pending]


def write_history(history: History) -> bytes:
    """The same history gives the same bytes."""
    profiles: dict[Profile, int] = {}
    pending = [_pending(item, profiles) for item in sorted(history.pending)]
    state = _State(
        form=FORM,
        maturity=history.maturity,
        now=history.now,
        counted=history.counted,
        order=history._order,
        days=history.days.table,
        members={
            name: {key: list(of) for key, of in getattr(history, name).table.items()}
            for name in _MEMBERS
        },
        seen={name: list(getattr(history, name)) for name in _SEEN},
        packages=history.packages,
        usual=history.usual,
        trusted=sorted(history.trusted),
        strays=history.strays,
        confirmed=sorted(map(str, history.confirmed)),
        disputed=sorted(map(str, history.disputed)),
        profiles=list(map(_plain, profiles)),
        pending=pending,
    )
    return msgspec.msgpack.encode(state)


def read_history(data: bytes) -> History:
    """Back from `write_history`. Raises ModelError for anything else."""
    if len(data) > MAX_BYTES:
        raise _refused("too large")
    try:
        state = msgspec.msgpack.decode(data, type=_State)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise _refused(str(error)) from error
    if state.form != FORM:
        raise _refused("made by another version")
    history = History(1)
    history.maturity, history.now = state.maturity, state.now
    history.counted, history._order = state.counted, state.order
    history.days.table = state.days
    for name in _MEMBERS:
        table = state.members.get(name, {})
        getattr(history, name).table = {k: dict.fromkeys(v) for k, v in table.items()}
    for name in _SEEN:
        getattr(history, name).table = dict.fromkeys(state.seen.get(name, ()))
    history.packages, history.usual = state.packages, state.usual
    history.trusted, history.disputed = set(state.trusted), set(state.disputed)
    history.confirmed = set(state.confirmed)
    history.strays = state.strays
    profiles = list(map(_profile, state.profiles))
    try:
        history.pending = [_case(item, profiles) for item in state.pending]
    except (ValueError, IndexError, OverflowError) as error:
        raise _refused(f"a pending event: {error}") from error
    return history


def _refused(message: str) -> ModelError:
    return ModelError(
        f"the kept history cannot be used: {message}",
        remedy="make it again: layerproof learn train",
    )


def _plain(p: Profile) -> _Profile:
    counts = (
        p.altered, p.overrides, p.deletions, p.privileged, p.sensitive, p.secrets, p.unread
    )  # fmt: skip
    return _Profile(
        str(p.chain),
        str(p.diff),
        counts,
        list(p.programs),
        list(p.applications),
        list(p.scripts),
        list(p.packages),
        list(p.deeds),
    )


def _profile(p: _Profile) -> Profile:
    return Profile(
        p.chain,
        p.diff,
        *p.counts,
        tuple(p.programs),
        tuple(p.applications),
        tuple(p.scripts),
        tuple(p.packages),
        tuple(p.deeds),
    )


def _pending(item: Pending, profiles: dict[Profile, int]) -> _Pending:
    of = item.case.occasion
    return _Pending(
        item.due,
        item.order,
        of.at.timestamp(),
        of.registry,
        of.repository,
        of.tag,
        of.account,
        of.country,
        str(of.manifest_digest or ""),
        of.kind.value,
        list(map(str, of.chain_ids)),
        [
            -1 if profile is None else profiles.setdefault(profile, len(profiles))
            for profile in item.case.profiles
        ],
        list(item.case.config),
    )


def _case(item: _Pending, profiles: list[Profile]) -> Pending:
    occasion = Occasion(
        at=datetime.fromtimestamp(item.at, UTC),
        registry=item.registry,
        repository=item.repository,
        tag=item.tag,
        account=item.account,
        country=item.country,
        manifest_digest=Digest(item.manifest) if item.manifest else None,
        chain_ids=tuple(map(ChainId, item.chains)),
        kind=EventKind(item.kind),
    )
    found = tuple(None if number < 0 else profiles[number] for number in item.profiles)
    return Pending(item.due, item.order, Case(occasion, found, tuple(item.config)))
