"""`secret`: keys and tokens in layers and config → findings that do not repeat them."""

import json

import pytest
from tests.unit.attacks.world import Files, Judged, World, policy

from layerproof.analysis.secret_formats import mask_secrets
from layerproof.model.finding import Effect, Severity
from layerproof.report.lines import command_text
from layerproof.testing.images import Whiteout, build, layer

RULE = "secret"
BASE = build([{"etc/os-release": "ID=demo\n"}])
# Put together here, so that no scanner takes this file for a leak.
TOKEN = "gh" + "p_" + "a1B2c3D4e5" * 4
KEY = "-----BEGIN " + "OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk=\n"


def judged(files: Files, text: str = "", **config: object) -> Judged:
    world = World()
    world.trust(BASE)
    built = build([files], base=BASE, **config)  # type: ignore[arg-type]
    return world.judge(built, policy=policy(text) if text else world.policy)


@pytest.mark.parametrize(
    ("path", "data", "kind"),
    [
        ("root/.ssh/id_ed25519", KEY, "private-key"),
        ("usr/local/etc/tls.key", KEY.replace("OPENSSH ", ""), "private-key"),
        ("srv/app/.env", f"A=1\nTOKEN={TOKEN}\n", "github-token"),
        ("app/settings.yaml", "key: AK" + "IA" + "QWERTYUIOP234567\n", "aws-access-key"),
        ("root/.netrc", "machine x login y password z\n", "netrc"),
        ("root/.git-credentials", "https://me:word@git.example\n", "git-credentials"),
        ("root/.npmrc", "//registry.example/:_authToken=abc\n", "npm-login"),
        ("root/.docker/config.json", '{"auths": {"x": {"auth": "eA=="}}}', "docker-login"),
        ("home/a/.aws/credentials", "aws_secret_access_key = " + "x" * 40, "aws-credentials"),
    ],
)
def test_a_secret_is_found_and_not_repeated(path: str, data: str, kind: str) -> None:
    (finding,) = judged({path: data}).of(RULE)
    assert (finding.evidence["kind"], finding.evidence["path"]) == (kind, f"/{path}")
    assert (finding.severity, finding.position) == (Severity.HIGH, 1)
    told = json.dumps([finding.message, finding.evidence, finding.remedy])
    assert not any(part in told for part in (TOKEN, "QWERTYUIOP", "word@", "b3Blbn"))


@pytest.mark.parametrize(
    ("path", "data"),
    [
        ("srv/app/.env", "TOKEN=ghp_short\nPASSWORD=changeme\n"),
        ("root/.docker/config.json", '{"auths": {"x": {}}, "credHelpers": {"x": "y"}}'),
        ("root/.npmrc", "//registry.example/:_authToken=${NPM_TOKEN}\n"),
        ("root/.ssh/id_rsa.pub", "ssh-rsa AAAA\n"),
        ("etc/ssl/certs/a.pem", "-----BEGIN CERTIFICATE-----\n"),
        ("root/key.pem", "-----BEGIN " + "ENCRYPTED PRIVATE KEY-----\nMIIEowIBAAKCAQEA\n"),
        ("etc/mime.xml", '<magic data="-----BEGIN ' + 'PRIVATE KEY-----" priority="50"/>'),
        ("app/node_modules/x/test.json", f'"{TOKEN}"'),
    ],
)
def test_what_is_no_secret_is_not_found(path: str, data: str) -> None:
    assert judged({path: data}).of(RULE) == []


def test_a_key_of_an_installed_package_is_an_alert_at_most() -> None:
    (finding,) = judged({"usr/lib/python3/test/key.pem": KEY}).of(RULE)
    assert (finding.effect, finding.severity) == (Effect.ALERT, Severity.LOW)


def test_a_deleted_secret_is_still_in_its_layer() -> None:
    world = World()
    world.trust(BASE)
    leaked = build([{"root/.ssh/id_rsa": KEY}, {"root/.ssh/id_rsa": Whiteout()}], base=BASE)
    (finding,) = world.judge(leaked).of(RULE)
    assert finding.position == 1


def test_environment_labels_and_history_are_searched() -> None:
    found = judged({}, env=[f"GH={TOKEN}"], labels={"x": TOKEN}).of(RULE)
    assert {f.evidence["place"] for f in found} >= {"the variable GH", "the label x"}
    world = World()
    world.trust(BASE)
    told = layer({"srv/a": "a"}, created_by=f"RUN git clone https://{TOKEN}@github.com/x")
    (finding,) = world.judge(build([told], base=BASE)).of(RULE)
    assert str(finding.evidence["place"]).startswith("history entry")


def test_a_token_in_the_history_is_masked_where_commands_are_shown() -> None:
    shown = command_text(f"RUN git clone https://{TOKEN}@github.com/x && make")
    assert shown == "RUN git clone https://***@github.com/x && make"
    assert mask_secrets("RUN make \udcff") == "RUN make \udcff"


def test_a_key_in_a_variable_on_one_line_is_found() -> None:
    found = judged({}, env=["KEY=" + KEY.replace("\n", "\\n")]).of(RULE)
    assert {f.evidence["place"] for f in found} >= {"the variable KEY"}


def test_what_the_trusted_base_says_is_not_this_images_doing() -> None:
    world = World()
    base = build([{"etc/os-release": "ID=demo\n"}], env=[f"GH={TOKEN}"])
    world.trust(base)
    assert world.judge(build([{"srv/a": "a"}], base=base)).of(RULE) == []


def test_an_exception_frees_its_paths() -> None:
    text = "rules: {secret: {except: ['/srv/test/**']}}"
    assert judged({"srv/test/key.pem": KEY}, text).of(RULE) == []
    assert len(judged({"srv/key.pem": KEY}, text).of(RULE)) == 1
