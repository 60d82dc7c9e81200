"""Exceptions that were made beside the policy file: entries as the file has them, one by one."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace

from layerproof.errors import PolicyError
from layerproof.model.amendment import MadeException
from layerproof.policy.exceptions import PolicyException
from layerproof.policy.load import API_VERSION, load_policy
from layerproof.policy.model import Policy


def read_exception(document: Mapping[str, object], where: str) -> PolicyException:
    """One entry, checked as the policy file's are. Raises PolicyError with every problem."""
    whole = {"apiVersion": API_VERSION, "kind": "Policy", "exceptions": [document]}
    text = json.dumps(whole).encode()  # JSON is YAML (YAML 1.2, section 1.2)
    found = load_policy(text, where=where).exceptions
    if len(found) != 1:
        raise PolicyError("this is no exception", where=where, remedy="give images, rules, reason")
    return found[0]


def with_exceptions(policy: Policy, made: Iterable[MadeException]) -> Policy:
    """The policy with these exceptions after its own. Raises PolicyError."""
    added = tuple(read_exception(item.document, f"exception {item.id}") for item in made)
    return replace(policy, exceptions=(*policy.exceptions, *added))
