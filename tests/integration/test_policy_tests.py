"""`layerproof policy test` and `policy schema`: operators' own cases, and editors."""

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from layerproof.cli.main import run
from layerproof.policy.json_schema import policy_schema
from layerproof.policy.starter import starter

POLICY = """
apiVersion: layerproof/v1
kind: Policy
identities: {ci: {registries: [registry.example], accounts: [ci-bot]}}
groups: {golden: {images: [registry.example/golden/**], pushedBy: [ci], maxAgeDays: 90}}
message: ask the platform team
gates: {kubernetes: {undecided: alert}}
rules:
  trusted-pusher: {identities: [ci]}
  stale-base: {graceDays: 7}
  package-script: {known: ["%s"]}
  image-config: {alert: [user-root]}
  protected-path: {extraPaths: [/opt/keep/**], packageUpgrades: refuse}
  expression:
    expressions:
      - {name: not root, expression: "image.user != ''", scope: image, message: say who}
blocks:
  - name: dev
    scope: {namespaces: [dev-*], labels: {team: shop}}
    rules: {trusted-pusher: {effect: alert}}
exceptions:
  - images: [registry.example/team/app]
    rules: [protected-path]
    paths: [/etc/ssh/**]
    reason: until the base has it
    owner: alice
    until: 2027-01-31
""" % ("ab" * 32)
CASES = """
apiVersion: layerproof/v1
kind: PolicyTest
policy: policy.yaml
cases:
  - name: an application that the pipeline pushed
    base: {layers: [{files: {/etc/shadow: "root:!:"}}]}
    image:
      reference: registry.example/team/app:1
      layers: [{files: {/srv/app: {contents: "#!/bin/sh", mode: 0755}}, createdBy: COPY app /srv/}]
      user: "1000"
      pushedBy: [{registry: registry.example, account: ci-bot}]
    expect: {decision: admit, verdict: trusted, notRules: [protected-path, trusted-pusher]}
  - name: one that somebody else pushed and that deletes the passwords
    base: {layers: [{files: {/etc/shadow: "root:!:"}}]}
    image:
      layers: [{files: {/etc/shadow: {deleted: true}, /bin/x: {link: /srv/y}}}]
      user: "1000"
      pushedBy: [{registry: registry.example, account: mallory}]
    expect: {decision: refuse, rules: [protected-path, trusted-pusher]}
  - name: no base
    image: {layers: [{files: {/a: b}}]}
    now: 2026-05-04T12:00
    context: {gate: kubernetes, namespace: prod, labels: {team: shop}}
    expect: {rules: [trusted-base], verdict: untrusted}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LAYERPROOF_INDEX", str(tmp_path / "index.db"))
    (tmp_path / "policy.yaml").write_text(POLICY)
    (tmp_path / "test.yaml").write_text(CASES)
    return tmp_path


def test_cases_run_through_the_reader_and_say_what_they_expect(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["policy", "test", "test.yaml"]) == 0
    out = capsys.readouterr().out
    assert "3 of 3 cases as expected" in out
    assert not (folder / "index.db").exists()


def test_a_case_that_is_not_as_expected_says_how(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = CASES.replace("{decision: admit, verdict", "{decision: refuse, verdict").replace(
        "rules: [protected-path, trusted-pusher]}\n  - name: no", "rules: [secret]}\n  - name: no"
    )
    (folder / "test.yaml").write_text(wrong)
    assert run(["policy", "test", "test.yaml"]) == 1
    out = capsys.readouterr().out
    assert "the decision is admit, expected was refuse" in out
    assert "the rule secret has no finding that counts" in out
    assert "1 of 3 cases as expected" in out
    assert run(["policy", "test", "-o", "json", "test.yaml"]) == 1
    documents = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [d["passed"] for d in documents] == [False, False, True]


def test_another_policy_can_be_tried_with_the_same_cases(folder: Path) -> None:
    (folder / "next.yaml").write_text("apiVersion: layerproof/v1\nkind: Policy\n")
    assert run(["policy", "test", "--policy", "next.yaml", "test.yaml"]) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kind: PolicyTest\n", "apiVersion is missing"),
        ("apiVersion: layerproof/v1\nkind: PolicyTest\ncases: []\n", "not a list of 1 to"),
        (CASES.replace("expect:", "expected:"), "unknown key 'expected'"),
        (CASES.replace("decision: admit", "decision: perhaps"), "'perhaps' is not admit"),
        (CASES.replace("mode: 0755", "mode: rwx"), "an octal mode"),
        (CASES.replace("rules: [trusted-base]", "rules: [trustedbase]"), "'trustedbase' is not"),
        (CASES.replace("registry.example/team/app:1", "'not a name'"), "not"),
        (CASES.replace("policy: policy.yaml\n", ""), "it names no policy"),
        (CASES.replace("policy: policy.yaml", "policy: gone.yaml"), "cannot be read"),
    ],
)
def test_mistakes_in_cases_are_named(
    folder: Path, capsys: pytest.CaptureFixture[str], text: str, message: str
) -> None:
    (folder / "test.yaml").write_text(text)
    assert run(["policy", "test", "test.yaml"]) == 2
    assert message in capsys.readouterr().err


# --- the schema --------------------------------------------------------------------------------


def test_the_schema_is_one_and_takes_what_the_loader_takes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    jsonschema.Draft202012Validator.check_schema(policy_schema())
    assert run(["policy", "schema"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == policy_schema()
    assert run(["policy", "validate", "policy.yaml", "-q"]) == 0
    for text in (POLICY, starter()):
        document = json.loads(json.dumps(yaml.safe_load(text), default=str))
        jsonschema.validate(document, printed)


@pytest.mark.parametrize(
    "change",
    [
        {"rulez": {}},
        {"rules": {"protected-path": {"effect": "block"}}},
        {"rules": {"nope": {}}},
        {"groups": {"a": {}}},
        {"exceptions": []},
        {"identities": {"ci": {"accounts": ["x"]}}},
    ],
)
def test_the_schema_refuses_plain_mistakes(change: dict[str, object]) -> None:
    document = {"apiVersion": "layerproof/v1", "kind": "Policy", **change}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, policy_schema())
