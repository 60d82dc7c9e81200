"""The service's file: every mistake is told with its line, its column and what to write."""

from datetime import timedelta
from pathlib import Path

import pytest

from layerproof.errors import PolicyError, UsageError
from layerproof.model.access import Role
from layerproof.service_config import ServiceConfig, load_service_config, parse_service_config

WHOLE = b"""\
registries:
  - host: registry.example:5000
    repositories: ["team/**", tools/base]
    interval: 5m
    newestTags: 3
networks:
  - {cidr: 10.0.0.0/8, name: office}
geoip: /usr/share/GeoIP/GeoLite2-Country.mmdb
forwardedAddresses: [registry.example:5000]
allowedRegistries: [registry.example:5000, docker.io]
retention: {events: 400d, images: forever}
requestsPerSecond: 50
oidc:
  issuer: https://login.example/
  clientId: layerproof
  redirectUrl: https://layerproof.example/api/v1/login/callback
  roles: {admins: admin, engineers: viewer}
"""


def test_a_whole_file_is_read() -> None:
    found = parse_service_config(WHOLE, where="x")
    (look,) = found.registries
    assert (look.polled.host, look.polled.repositories) == (
        "registry.example:5000",
        ("team/**", "tools/base"),
    )
    assert (look.interval, look.polled.newest_tags) == (timedelta(minutes=5), 3)
    assert found.forwarded_addresses == {"registry.example:5000"}
    assert found.allowed_registries == {"registry.example:5000", "docker.io"}
    assert found.keep.events == timedelta(days=400)
    assert found.keep.images is None
    assert found.requests_per_second == 50
    assert found.oidc is not None
    assert found.oidc.roles == {"admins": Role.ADMIN, "engineers": Role.VIEWER}
    assert (found.oidc.issuer, found.oidc.role_claim) == ("https://login.example/", "groups")


@pytest.mark.parametrize("text", [b"", b"# nothing\n", b"{}"])
def test_what_is_left_out_has_its_default(text: bytes) -> None:
    assert parse_service_config(text, where="x") == ServiceConfig()


OIDC = "oidc: {issuer: 'https://i.example', clientId: c, redirectUrl: 'https://x.example/c', "


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("registry: []", "1:1", "unknown key 'registry'"),
        ("[]", "1:1", "not a mapping"),
        ("registries:\n  - host: registry.example\n", "2:5", "repositories are missing"),
        ("registries:\n  - repositories: [a/b]\n", "2:5", "host is missing"),
        ("registries: [{host: 'https://r.example', repositories: [a]}]", "1:21", "no registry"),
        ("registries: [{host: 'registry', repositories: [a]}]", "1:21", "no registry"),
        ("registries: [{host: R.example, repositories: []}]", "1:46", "list of 1 to"),
        ("registries: [{host: r.example, repositories: ['A']}]", "1:47", "no repository"),
        ("registries: [{host: r.example, repositories: ['a**b']}]", "1:47", "glob"),
        ("registries: [{host: r.example, repositories: [a/b], interval: 1s}]", "1:63", "period"),
        ("registries: [{host: r.example, repositories: [a/b], newestTags: 0}]", "1:65", "whole"),
        ("registries: [{host: r.example, repositories: [a]}, {host: r.example, "
         "repositories: [b]}]", "1:52", "stands twice"),
        ("networks: [{cidr: 10.0.0.1/8, name: x}]", "1:19", "no network"),
        ("networks: [{cidr: 10.0.0.0/8}]", "1:12", "name is missing"),
        ("forwardedAddresses: []", "1:21", "list of 1 to"),
        ("allowedRegistries: []", "1:20", "list of 1 to"),
        ("allowedRegistries: ['*.example']", "1:21", "no registry"),
        ("forwardedAddresses: ['*']", "1:22", "no registry"),
        ("retention: {events: 5}", "1:21", "period"),
        ("requestsPerSecond: 0", "1:20", "whole number"),
        ("requestsPerSecond: 1e9", "1:20", "whole number"),
        ("geoip: [x]", "1:8", "path"),
        (OIDC + "}", "1:7", "roles are missing"),
        (OIDC + "roles: {}}", "1:93", "no mapping with entries"),
        (OIDC + "roles: {a: root}}", "1:97", "notifier, viewer, operator or admin"),
        (OIDC + "roles: {a: notifier}}", "1:97", "people are no notifiers"),
        (OIDC.replace("https://i", "http://i") + "roles: {a: admin}}", "1:16", "no https"),
        (OIDC.replace("https://i.example", "http://localhost.evil.example")
         + "roles: {a: admin}}", "1:16", "no https"),
        (OIDC.replace("https://i.example", "http://127.0.0.1.evil.example")
         + "roles: {a: admin}}", "1:16", "no https"),
        (OIDC.replace("https://i.example", "http://localhost@evil.example")
         + "roles: {a: admin}}", "1:16", "no https"),
        (OIDC.replace("https://i.example", "https://") + "roles: {a: admin}}", "1:16", "no https"),
        ("a: &x 1\nb: *x", "", ""),
        ("a: !!python/object:os.system x", "", ""),
        ("a: 'unfinished", "", ""),
        ("geoip: x\ngeoip: y", "2:1", ""),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_place_and_remedy(text: str, place: str, message: str) -> None:
    with pytest.raises(PolicyError) as caught:
        parse_service_config(text.encode(), where="service.yaml")
    told = [line for line in caught.value.problems if message in line]
    assert told, caught.value.problems
    assert told[0].startswith(f"service.yaml:{place}")
    assert caught.value.remedy
    assert caught.value.where.startswith("service.yaml")


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(PolicyError) as caught:
        parse_service_config(b"requestsPerSecond: x\nnetworks: 7\nnonsense: 1\n", where="x")
    assert len(caught.value.problems) == 3


def test_a_loopback_provider_may_speak_plainly() -> None:
    for place in ("http://127.0.0.1:9", "http://localhost:9", "http://[::1]:9"):
        text = OIDC.replace("https://i.example", place) + "roles: {a: admin}}"
        found = parse_service_config(text.encode(), where="x").oidc
        assert found is not None
        assert found.issuer == place


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        load_service_config(tmp_path / "none.yaml")


def test_a_file_without_end_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "large.yaml"
    file.write_bytes(b"# " + b"x" * (1 << 20))
    with pytest.raises(UsageError):
        load_service_config(file)
