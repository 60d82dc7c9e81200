"""What is deployed names only what the product has: variables, commands, options, ports, files."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from layerproof import config
from layerproof.cli.main import cli
from layerproof.config import settings
from layerproof.service_config import parse_service_config

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
CHART = DEPLOY / "helm/layerproof"
DOCKERFILE = (ROOT / "Dockerfile").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
OURS = ("service", "worker", "advisories")
PAGES = ("run-the-service", "back-up-and-restore")


def texts() -> list[Path]:
    return [
        ROOT / "Dockerfile",
        *(p for p in DEPLOY.rglob("*") if p.is_file() and "secrets" not in p.parts),
    ]


@pytest.mark.parametrize("path", texts(), ids=lambda p: p.name)
def test_every_variable_is_one_of_the_product(path: Path) -> None:
    named = set(re.findall(r"\bLAYERPROOF_[A-Z_]+\b", path.read_text()))
    known = set(re.findall(r"\bLAYERPROOF_[A-Z_]+\b", config.__doc__ or ""))
    assert named <= known


@pytest.mark.parametrize("name", OURS)
def test_the_settings_of_compose_can_be_read(name: str) -> None:
    found = settings(COMPOSE["services"][name]["environment"] | {"XDG_DATA_HOME": "/var/lib"})
    assert str(found.advisories) == "/var/lib/layerproof/advisories/advisories.db"


def resolved(words: list[str]) -> None:
    """A command line of the product: its commands exist, and the last one knows its options."""
    command: click.Command = cli
    context = click.Context(cli, info_name="layerproof")
    rest = list(words)
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        found = command.get_command(context, rest[0])
        if found is None:
            assert command.name == "index", f"no command {rest[0]} in {words}"
            found = command.get_command(context, "images")
        assert found is not None
        command, context = found, click.Context(found, parent=context)
        rest = rest[1:]
    options = {o for p in command.params for o in (*p.opts, *p.secondary_opts)} | {"--help"}
    options |= {o for p in cli.params for o in p.opts}
    for word in rest:
        if re.match(r"--?[a-z]", word):
            assert word.partition("=")[0] in options, f"{word} in {words}"


@pytest.mark.parametrize("name", OURS)
def test_commands_of_compose_exist(name: str) -> None:
    service = COMPOSE["services"][name]
    resolved(service["command"])
    test = service.get("healthcheck", {}).get("test")
    if test:
        assert test[:2] == ["CMD", "layerproof"]
        resolved(test[2:])


def test_commands_of_the_chart_exist() -> None:
    for path in (CHART / "templates").glob("*.yaml"):
        text = re.sub(r"\{\{.*?\}\}", "1", path.read_text())
        for block in re.findall(r"args:\n((?: +- .*\n| +1\n)+)", text):
            words = [line.strip(" -") for line in block.splitlines() if line.strip() != "1"]
            resolved([re.sub(r"^-*([a-z]+=)", r"--\1", w) for w in words if w not in ("1",)])
        for probe in re.findall(r"command: \[layerproof, (.*?)\]", text):
            resolved(probe.split(", "))


def lines_of(page: str) -> list[str]:
    text = (ROOT / f"docs/how-to/{page}.md").read_text()
    blocks = re.findall(r"```console\n(.*?)```", text, re.DOTALL)
    assert blocks
    joined = "\n".join(blocks).replace("\\\n", " ")
    return [line.strip() for line in joined.splitlines() if line.strip()]


@pytest.mark.parametrize("page", PAGES)
def test_documented_command_lines_exist(page: str) -> None:
    seen, names = 0, cli.list_commands(click.Context(cli))
    for line in lines_of(page):
        words = shlex.split(line)
        # `docker exec layerproof layerproof …`: the last one that a command follows
        following = [
            number
            for number, word in enumerate(words[:-1])
            if word == "layerproof" and words[number + 1] in names
        ]
        if following and "helm" not in words:
            resolved(words[following[-1] + 1 :])
            seen += 1
    assert seen >= 4


@pytest.mark.parametrize("page", PAGES)
def test_documented_services_and_files_exist(page: str) -> None:
    for line in lines_of(page):
        for name in re.findall(r"docker compose (?:exec|restart|run --rm)(?: -T)? ([a-z]+)", line):
            assert name in COMPOSE["services"], line
        if (script := line.split()[0]).startswith("./"):
            assert (DEPLOY / script).is_file(), line


def test_ports_agree() -> None:
    (port,) = re.findall(r"^EXPOSE (\d+)$", DOCKERFILE, re.MULTILINE)
    assert f"LAYERPROOF_LISTEN=0.0.0.0:{port}" in DOCKERFILE
    assert settings({"XDG_DATA_HOME": "/d"}).listen.endswith(f":{port}")
    assert COMPOSE["services"]["service"]["ports"] == [f"127.0.0.1:{port}:{port}"]
    chart = (CHART / "templates/deployment.yaml").read_text()
    assert f"--listen=0.0.0.0:{port}" in chart
    assert f"containerPort: {port}" in chart
    assert f"http://service:{port}/api/v1/" in (DEPLOY / "registry.yaml").read_text()


def test_nothing_is_published_beyond_loopback() -> None:
    for service in COMPOSE["services"].values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))


def test_the_image_runs_without_root() -> None:
    last = DOCKERFILE.rsplit("\nFROM ", 1)[1]
    users = re.findall(r"^USER (\d+):(\d+)$", last, re.MULTILINE)
    assert [int(number) > 0 for number in users[-1]] == [True, True]
    assert last.index("\nUSER ") < last.index("\nENTRYPOINT ")
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert str(values["podSecurityContext"]["runAsUser"]) == users[-1][0]
    assert values["podSecurityContext"]["runAsNonRoot"] is True


@pytest.mark.parametrize("name", COMPOSE["services"])
def test_containers_have_no_more_rights_than_they_need(name: str) -> None:
    service = COMPOSE["services"][name]
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert not service.get("privileged")
    assert service.get("read_only") or name == "postgres"


def test_no_secret_stands_in_plain_text() -> None:
    for service in COMPOSE["services"].values():
        for key, value in service.get("environment", {}).items():
            secret = re.search(r"PASSWORD|TOKEN|SECRET", key)
            assert not secret or (key.endswith("_FILE") and value.startswith("/run/secrets/"))
            assert not re.search(r"://[^/@:]*:[^/@]*@", str(value))
    for path in texts():
        assert not re.search(r"lp_[0-9a-f]{12}_|BEGIN [A-Z ]*PRIVATE KEY", path.read_text())
    assert "/secrets/" in (DEPLOY / ".gitignore").read_text().splitlines()


def test_secrets_of_compose_are_those_that_set_up_makes() -> None:
    script = (DEPLOY / "set-up.sh").read_text()
    for secret in COMPOSE["secrets"].values():
        assert f">{secret['file']}" in script or f">>{secret['file']}" in script.replace(
            f"{secret['file']}.new", secret["file"]
        )
    for service in COMPOSE["services"].values():
        assert set(service.get("secrets", ())) <= set(COMPOSE["secrets"])


def test_the_files_of_compose_parse() -> None:
    found = parse_service_config((DEPLOY / "service.yaml").read_bytes(), where="service.yaml")
    host = found.registries[0].polled.host
    registry = yaml.safe_load((DEPLOY / "registry.yaml").read_text())
    assert host == f"registry{registry['http']['addr']}"
    assert host == COMPOSE["services"]["service"]["environment"]["LAYERPROOF_INSECURE_REGISTRIES"]
    assert f"--registry {host}" in (DEPLOY / "set-up.sh").read_text()


def test_values_and_their_schema_name_the_same() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    schema = json.loads((CHART / "values.schema.json").read_text())
    assert set(values) == set(schema["properties"]) - {"global"}
    used: set[str] = set()
    for path in (CHART / "templates").iterdir():
        used |= set(re.findall(r"\.Values\.([A-Za-z]+)", path.read_text()))
    assert used == set(values)


def test_the_build_sends_what_the_dockerfile_copies() -> None:
    sent = {
        line[1:]
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    for line in re.findall(r"^COPY ((?!--).+) \S+$", DOCKERFILE, re.MULTILINE):
        for name in line.split():
            assert name in sent
            assert (ROOT / name).exists()
