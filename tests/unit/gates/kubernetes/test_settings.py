"""The part `kubernetes` of the service's file."""

from datetime import UTC, datetime

import pytest

from layerproof.errors import PolicyError
from layerproof.gates.kubernetes.admission import Pin
from layerproof.gates.kubernetes.settings import Exempted, KubernetesSettings
from layerproof.service_config import parse_service_config

EXEMPTION = """
      images: [registry.example/pause]
      causes: [unknown]
      namespaces: [kube-system]
      reason: needed
      owner: ops
      until: 2027-01-31
"""
WINDOW = """
      groups: [oncall]
      namespaces: [shop]
      from: 2026-11-28T02:00:00Z
      until: 2026-11-28T06:00:00Z
      reason: fire
      owner: ops
"""


def read(text: str) -> KubernetesSettings:
    return parse_service_config(text.encode(), where="service.yaml").kubernetes


def test_without_any_the_defaults_hold() -> None:
    assert read("{}") == KubernetesSettings()


def test_all_of_it_is_read() -> None:
    found = read(
        "kubernetes:\n  pin: pods\n  platforms: [linux/amd64, linux/arm64]\n  budgetSeconds: 5\n"
        f"  tagSeconds: 60\n  exempt:\n    - {EXEMPTION.strip()}\n"
        f"  breakGlass:\n    - {WINDOW.strip()}\n"
    )
    assert (found.pin, found.budget, found.tag_seconds) == (Pin.PODS, 5.0, 60.0)
    assert [str(platform) for platform in found.platforms] == ["linux/amd64", "linux/arm64"]
    assert found.exempt[0].causes == (Exempted.UNKNOWN,)
    assert found.windows[0].until == datetime(2026, 11, 28, 6, tzinfo=UTC)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("images: [registry.example/pause]", "images: []"),
        ("images: [registry.example/pause]", "images: ['*']"),
        ("images: [registry.example/pause]", "images: ['registry.example*']"),
        ("causes: [unknown]", "causes: []"),
        ("causes: [unknown]", "causes: [verdict]"),
        ("causes: [unknown]", "causes: ['*']"),
        ("namespaces: [kube-system]", "namespaces: []"),
        ("namespaces: [kube-system]", "namespaces: ['Kube']"),
        ("reason: needed", ""),
        ("owner: ops", ""),
        ("until: 2027-01-31", ""),
        ("until: 2027-01-31", "until: never"),
    ],
)
def test_an_exemption_that_says_too_little_or_too_much_is_an_error(old: str, new: str) -> None:
    text = EXEMPTION.strip().replace(old, new)
    with pytest.raises(PolicyError):
        read(f"kubernetes:\n  exempt:\n    - {text}\n")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("groups: [oncall]", ""),
        ("groups: [oncall]", "groups: []"),
        ("groups: [oncall]", "groups: ['*']"),
        ("groups: [oncall]", "groups: ['system:*']"),
        ("until: 2026-11-28T06:00:00Z", "until: 2026-12-28T06:00:00Z"),
        ("until: 2026-11-28T06:00:00Z", "until: 2026-11-28T01:00:00Z"),
        ("until: 2026-11-28T06:00:00Z", "until: 2026-11-28T06:00:00"),
        ("until: 2026-11-28T06:00:00Z", ""),
        ("reason: fire", ""),
    ],
)
def test_break_glass_without_end_reason_or_whom_is_an_error(old: str, new: str) -> None:
    text = WINDOW.strip().replace(old, new)
    with pytest.raises(PolicyError):
        read(f"kubernetes:\n  breakGlass:\n    - {text}\n")


@pytest.mark.parametrize(
    "text", ["pin: some", "platforms: [arm]", "budgetSeconds: 0", "budgetSeconds: 60", "nope: 1"]
)
def test_other_mistakes_are_told_with_their_place(text: str) -> None:
    with pytest.raises(PolicyError) as caught:
        read(f"kubernetes:\n  {text}\n")
    assert any(problem.startswith("service.yaml:2:") for problem in caught.value.problems)
