"""Which hosts a name stands for."""

import httpx
import pytest

from layerproof.sources.registry.names import canonical_host, endpoints, is_loopback
from layerproof.sources.registry.settings import RegistrySettings
from layerproof.sources.registry.transport import proxy_for


def bases(host: str, settings: RegistrySettings) -> list[tuple[str, str]]:
    return [(place.base, place.repository) for place in endpoints(host, "team/app", settings)]


def test_docker_hub_is_asked_at_its_api_host() -> None:
    assert bases("docker.io", RegistrySettings()) == [("https://registry-1.docker.io", "team/app")]


def test_plain_http_is_only_for_hosts_that_were_named() -> None:
    settings = RegistrySettings(insecure_hosts=frozenset({"r.example:5000"}))
    assert bases("r.example:5000", settings) == [("http://r.example:5000", "team/app")]
    assert bases("r.example", settings) == [("https://r.example", "team/app")]
    assert bases("localhost:5000", settings) == [("https://localhost:5000", "team/app")]


def test_mirrors_come_first_and_may_have_a_prefix() -> None:
    settings = RegistrySettings(
        mirrors={"docker.io": ("m.example", "harbor.example/hub")},
        insecure_hosts=frozenset({"m.example"}),
    )
    assert bases("docker.io", settings) == [
        ("http://m.example", "team/app"),
        ("https://harbor.example", "hub/team/app"),
        ("https://registry-1.docker.io", "team/app"),
    ]
    assert bases("other.example", settings) == [("https://other.example", "team/app")]


@pytest.mark.parametrize("name", ["docker.io", "index.docker.io", "Registry-1.Docker.IO"])
def test_docker_hub_has_one_name(name: str) -> None:
    assert canonical_host(name) == "docker.io"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("localhost", True),
        ("a.localhost", True),
        ("127.9.9.9", True),
        ("[::1]", True),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("10.0.0.1", False),
    ],
)
def test_loopback_is_this_machine_only(name: str, expected: bool) -> None:
    assert is_loopback(name) is expected


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://r.example/v2/", "http://secure:1"),
        ("http://r.example/v2/", "http://plain:1"),
        ("https://127.0.0.1:5000/v2/", ""),
        ("http://localhost/v2/", ""),
        ("https://in.corp.example/v2/", ""),
        ("https://[::1]:5000/", ""),
    ],
)
def test_proxy_is_that_of_the_environment_but_not_for_this_machine(
    url: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "corp.example")
    monkeypatch.delenv("no_proxy", raising=False)
    proxies = {"https": "http://secure:1", "http": "http://plain:1"}
    assert proxy_for(httpx.URL(url), proxies) == expected


def test_all_proxy_is_the_last_resort() -> None:
    assert proxy_for(httpx.URL("https://r.example/"), {"all": "http://any:1"}) == "http://any:1"
