"""Exceptions made one by one hold as those of the file do."""

from datetime import UTC, datetime
from typing import Any

import pytest

from layerproof.errors import PolicyError
from layerproof.model.amendment import MadeException
from layerproof.policy.amend import read_exception, with_exceptions
from layerproof.policy.defaults import DEFAULT_POLICY

DOCUMENT: dict[str, Any] = {
    "images": ["registry.example/team/app"],
    "rules": ["secret"],
    "reason": "a key of tests",
    "owner": "team",
    "until": "2027-01-31",
}


def test_an_exception_is_read_as_the_file_has_it() -> None:
    found = read_exception(DOCUMENT, "x")
    assert (found.images, found.rules) == (("registry.example/team/app",), ("secret",))
    assert (found.owner, found.until) == ("team", "2027-01-31")


def test_it_stands_after_those_of_the_policy() -> None:
    made = MadeException("1", DOCUMENT, "alice", datetime(2026, 3, 9, tzinfo=UTC))
    assert with_exceptions(DEFAULT_POLICY, [made]).exceptions[-1].reason == "a key of tests"


@pytest.mark.parametrize(
    "changes",
    [{"images": ["*"]}, {"rules": ["none"]}, {"until": "soon"}, {"owner": ""}, {"more": 1}],
)
def test_a_mistake_in_it_is_an_error(changes: dict[str, Any]) -> None:
    with pytest.raises(PolicyError):
        read_exception({**DOCUMENT, **changes}, "x")
