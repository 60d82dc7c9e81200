"""Attacks on the context change one axis, the same for the same seed; the pipeline alone none."""

import random
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta

import pytest

from layerproof.model.digest import Digest
from layerproof.model.event import Event, EventKind
from learning.cases import NO_ATTACK
from learning.context_attacks import ATTACKS, inject, one_edit
from learning.history import History, walk

START = datetime(2024, 1, 1, 9, tzinfo=UTC)


def push(day: float, repository: str, account: str, country: str = "DE") -> Event:
    identity = f"{day}/{repository}/{account}"
    return Event(
        identity,
        EventKind.PUSH,
        START + timedelta(days=day),
        "registry.example",
        repository,
        "latest",
        Digest.of(identity.encode()),
        account,
        country=country,
    )


def stream() -> list[Event]:
    found = [push(day, "team/gateway", "ada") for day in range(40)]
    found += [push(day + 0.1, "team/ledger", "bob", "FR") for day in range(0, 40, 2)]
    found += [push(0.2, "team/gateway", "old")]
    found += [push(day, "team/gateway", "ada") for day in range(400, 440)]
    found += [push(day + 0.1, "team/ledger", "bob", "FR") for day in range(400, 440)]
    return sorted(found, key=lambda event: event.at)


CHANGED = {
    "stolen-account": {"account"},
    "new-account": {"account"},
    "typosquat-repository": {"repository", "account"},
    "odd-hour": {"at"},
    "dormant-account": {"account"},
    "foreign-source": {"country", "address"},
    NO_ATTACK: set(),
}


def test_every_attack_is_tried_here() -> None:
    assert CHANGED.keys() == ATTACKS.keys()


@pytest.mark.parametrize("family", ATTACKS)
def test_only_the_axis_of_the_family_changes(family: str) -> None:
    events = stream()
    by_identity = {event.identity: event for event in events}
    cases = inject(events, events[80:], [family], 10, seed=1)
    assert cases
    for case in cases:
        twin = by_identity[case.twin]
        differ = {
            field.name
            for field in fields(Event)
            if getattr(case.event, field.name) != getattr(twin, field.name)
        }
        assert differ - {"identity", "manifest_digest"} <= CHANGED[family]
        assert case.event.identity not in by_identity
        assert case.event.manifest_digest not in {event.manifest_digest for event in events}


@pytest.mark.parametrize("family", ["stolen-account", "new-account", "dormant-account"])
def test_the_account_is_what_the_family_says(family: str) -> None:
    events = stream()
    cases = inject(events, events[80:], [family], 10, seed=1)
    for history, event, _ in walk(events, [(case.event, None) for case in cases]):
        known = event.account in history.by_account
        there = event.account in history.accounts_of[event.repository]
        assert (known, there) == {
            "stolen-account": (True, False),
            "new-account": (False, False),
            "dormant-account": (True, True),
        }[family]


def test_a_typosquat_is_a_repository_that_nobody_has() -> None:
    events = stream()
    for case in inject(events, events[80:], ["typosquat-repository"], 10, seed=1):
        assert case.event.repository not in {event.repository for event in events}


def test_an_odd_hour_is_after_the_twin_and_unused() -> None:
    events = stream()
    twins = {event.identity: event for event in events}
    for case in inject(events, events[80:], ["odd-hour"], 10, seed=1):
        used = {event.at.hour for event in events if event.account == case.event.account}
        assert case.event.at.hour not in used
        assert timedelta() < case.event.at - twins[case.twin].at < timedelta(days=1)


def test_the_same_seed_gives_the_same_attacks_and_another_others() -> None:
    events = stream()
    families = list(ATTACKS)
    first = inject(events, events[80:], families, 5, seed=1)
    assert inject(events, events[80:], families, 5, seed=1) == first
    assert inject(events, events[80:], families, 5, seed=2) != first


def test_one_edit_never_returns_the_name() -> None:
    chance = random.Random(1)
    for _ in range(200):
        assert one_edit("gateway", chance) != "gateway"


def test_the_history_of_a_case_ends_strictly_before_it() -> None:
    events = stream()
    asked = [(event, number) for number, event in enumerate(events)]
    for history, _, number in walk(events, asked):
        assert history.pushes == number


def test_pulls_are_no_pushes() -> None:
    history = History()
    history.add(replace(push(1, "team/gateway", "cluster"), kind=EventKind.PULL))
    assert history.pushes == 0
    assert history.pullers["team/gateway"] == {"cluster"}
