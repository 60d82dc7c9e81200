"""Logins from docker's and podman's files: which file, which key, which helper."""

import base64
import json
from pathlib import Path

import pytest

from layerproof.errors import AuthenticationError
from layerproof.sources.registry.credentials import Credential
from layerproof.sources.registry.docker_config import DockerConfig


def auth(user: str, password: str) -> str:
    return base64.b64encode(f"{user}:{password}".encode()).decode()


def no_helper(name: str, server: str) -> Credential | None:
    raise AssertionError("no helper is configured")


def config(tmp_path: Path, document: object, ask=no_helper) -> DockerConfig:
    file = tmp_path / "config.json"
    file.write_text(document if isinstance(document, str) else json.dumps(document))
    return DockerConfig((file,), ask)


def test_files_are_those_of_podman_then_docker() -> None:
    home = Path("/home/me")
    found = DockerConfig.from_environment({"XDG_RUNTIME_DIR": "/run/me"}, home)
    assert [str(f) for f in found.files] == [
        "/run/me/containers/auth.json",
        "/home/me/.docker/config.json",
    ]


def test_docker_config_variable_moves_dockers_file() -> None:
    found = DockerConfig.from_environment({"DOCKER_CONFIG": "/etc/d"}, Path("/home/me"))
    assert [str(f) for f in found.files] == ["/etc/d/config.json"]


def test_registry_auth_file_replaces_all_others() -> None:
    environment = {
        "REGISTRY_AUTH_FILE": "/a.json",
        "XDG_RUNTIME_DIR": "/run",
        "DOCKER_CONFIG": "/d",
    }
    found = DockerConfig.from_environment(environment, Path("/home/me"))
    assert [str(f) for f in found.files] == ["/a.json"]


def test_missing_file_means_no_login(tmp_path: Path) -> None:
    assert DockerConfig((tmp_path / "no" / "file",)).find("example.com", "a") is None


def test_first_file_with_a_login_wins(tmp_path: Path) -> None:
    one, two = tmp_path / "1", tmp_path / "2"
    one.write_text(json.dumps({"auths": {"a.example": {"auth": auth("one", "1")}}}))
    two.write_text(
        json.dumps({"auths": {h: {"auth": auth("two", "2")} for h in ("a.example", "b.example")}})
    )
    found = DockerConfig((one, two), no_helper)
    assert found.find("a.example", "x") == Credential("one", "1")
    assert found.find("b.example", "x") == Credential("two", "2")


@pytest.mark.parametrize(
    "key",
    [
        "r.example:5000",
        "https://r.example:5000",
        "http://r.example:5000/",
        "https://r.example:5000/v2/",
        "https://r.example:5000/some/page",
    ],
)
def test_host_is_found_under_every_way_to_write_it(tmp_path: Path, key: str) -> None:
    found = config(tmp_path, {"auths": {key: {"auth": auth("me", "pä:ss")}}})
    assert found.find("r.example:5000", "team/app") == Credential("me", "pä:ss")


@pytest.mark.parametrize(
    "key",
    ["https://index.docker.io/v1/", "docker.io", "index.docker.io", "registry-1.docker.io"],
)
def test_docker_hub_is_found_under_each_of_its_names(tmp_path: Path, key: str) -> None:
    found = config(tmp_path, {"auths": {key: {"auth": auth("me", "pw")}}})
    assert found.find("docker.io", "library/python") == Credential("me", "pw")


@pytest.mark.parametrize(
    "host", ["r.example", "r.example:5001", "r.example.evil", "evil-r.example"]
)
def test_login_of_another_host_is_not_given(tmp_path: Path, host: str) -> None:
    found = config(tmp_path, {"auths": {"r.example:5000": {"auth": auth("me", "pw")}}})
    assert found.find(host, "app") is None


@pytest.mark.parametrize("order", [1, -1])
def test_longest_repository_key_wins(tmp_path: Path, order: int) -> None:
    keys = ("q.example", "q.example/org", "q.example/org/app")[::order]
    found = config(tmp_path, {"auths": {k: {"auth": auth(k, "pw")} for k in keys}})
    users = {
        name: login.username
        for name in ("other/app", "org/other", "org/app", "org/app/sub", "org/app2", "organ")
        if (login := found.find("q.example", name))
    }
    assert users == {
        "other/app": "q.example",
        "org/other": "q.example/org",
        "org/app": "q.example/org/app",
        "org/app/sub": "q.example/org/app",
        "org/app2": "q.example/org",
        "organ": "q.example",
    }


def test_identity_and_registry_tokens_are_read(tmp_path: Path) -> None:
    found = config(
        tmp_path,
        {
            "auths": {
                "a.example": {"auth": auth("me", ""), "identitytoken": "refresh"},
                "b.example": {"registrytoken": "bearer"},
                "c.example": {"username": "me", "password": "pw"},
                "d.example": {},
            }
        },
    )
    assert found.find("a.example", "x") == Credential("me", identity_token="refresh")
    assert found.find("b.example", "x") == Credential(registry_token="bearer")
    assert found.find("c.example", "x") == Credential("me", "pw")
    assert found.find("d.example", "x") is None


def test_padding_zeros_are_no_part_of_a_password(tmp_path: Path) -> None:
    found = config(tmp_path, {"auths": {"a.example": {"auth": auth("me", "pw\0\0")}}})
    assert found.find("a.example", "x") == Credential("me", "pw")


def test_helper_of_the_host_goes_before_the_store_and_the_file(tmp_path: Path) -> None:
    asked = []

    def ask(name: str, server: str) -> Credential | None:
        asked.append((name, server))
        return Credential("helped", "pw") if name == "own" else None

    found = config(
        tmp_path,
        {
            "auths": {h: {"auth": auth("file", "pw")} for h in ("a.example", "b.example")},
            "credHelpers": {"a.example": "own"},
            "credsStore": "store",
        },
        ask,
    )
    assert found.find("a.example", "x") == Credential("helped", "pw")
    assert found.find("b.example", "x") == Credential("file", "pw")
    assert asked == [("own", "a.example"), ("store", "b.example")]


def test_helpers_are_asked_for_docker_hub_by_its_old_address(tmp_path: Path) -> None:
    asked = []

    def ask(name: str, server: str) -> Credential | None:
        asked.append(server)
        return None

    assert config(tmp_path, {"credsStore": "s"}, ask).find("docker.io", "library/a") is None
    assert asked == ["https://index.docker.io/v1/", "docker.io"]


@pytest.mark.parametrize(
    "text",
    [
        '{"auths": {"a.example": {"auth": "s3cr3t-not-base64!"}}}',
        '{"auths": {"a.example": {"auth": "czNjcjN0"}}}',  # no colon
        '{"auths": {"a.example": "s3cr3t"}}',
        '{"auths": ["s3cr3t"]}',
        '{"auths": {"a.example": {"auth": "s3cr3t"}',
        '["s3cr3t"]',
        "[" * 100_000,
    ],
)
def test_unusable_file_is_an_error_without_its_contents(tmp_path: Path, text: str) -> None:
    with pytest.raises(AuthenticationError) as caught:
        config(tmp_path, text).find("a.example", "x")
    assert caught.value.where.endswith("config.json")
    assert caught.value.remedy
    assert "s3cr3t" not in f"{caught.value} {caught.value.__cause__}"


def test_oversize_file_is_not_read_whole(tmp_path: Path) -> None:
    with pytest.raises(AuthenticationError, match="larger than"):
        config(tmp_path, " " * (5 << 20)).find("a.example", "x")


def test_secrets_do_not_show(tmp_path: Path) -> None:
    shown = repr(Credential("me", "s3cr3t", "t0k3n", "b34r3r"))
    assert "me" in shown
    assert not any(secret in shown for secret in ("s3cr3t", "t0k3n", "b34r3r"))
