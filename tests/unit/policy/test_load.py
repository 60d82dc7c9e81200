"""The policy file: what is read, and what is refused with place and remedy."""

import re
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerproof.errors import PolicyError
from layerproof.model.finding import Effect, Severity
from layerproof.model.verdict import Decision
from layerproof.policy.defaults import DEFAULT_POLICY, EXCEPTIONS, PROTECTED_PATHS
from layerproof.policy.load import cache_key, load_policy
from layerproof.policy.model import BaseMatch, Policy
from layerproof.rules.image_config import ImageConfigSettings
from layerproof.rules.lying_base_label import LyingBaseLabelSettings
from layerproof.rules.protected_path import ProtectedPathSettings

HEAD = "apiVersion: layerproof/v1\nkind: Policy\n"
PAGE = Path(__file__).resolve().parents[3] / "docs" / "reference" / "policy.md"


def load(text: str) -> Policy:
    return load_policy((HEAD + text).encode(), where="p.yaml")


def problems(text: str | bytes) -> tuple[str, ...]:
    with pytest.raises(PolicyError) as caught:
        load_policy(text.encode() if isinstance(text, str) else text, where="p.yaml")
    error = caught.value
    assert error.where.startswith("p.yaml:")
    assert error.remedy
    assert error.problems
    for problem in error.problems:
        assert re.match(r"p\.yaml:[1-9][0-9]*:[1-9][0-9]*: .+; .+", problem)
        assert problem.isprintable()
    return error.problems


def paths(policy: Policy) -> ProtectedPathSettings:
    settings = policy.rules["protected-path"].settings
    assert isinstance(settings, ProtectedPathSettings)
    return settings


# --- what is read ------------------------------------------------------------------------------


def test_file_that_sets_nothing_is_the_default_policy() -> None:
    assert load("") == DEFAULT_POLICY
    assert load("").digest == DEFAULT_POLICY.digest


def test_every_key_is_read() -> None:
    policy = load(
        """
base: {match: prefix}
undecided: alert
rules:
  trusted-base: {effect: alert, severity: critical}
  protected-path:
    effect: refuse
    paths: [/a]
    extraPaths: [/b/**]
    creation: ["/etc/c"]
    extraCreation: ["/root/*", "/home/app/.x", /home/*/.y/**, /usr/libexec/*]
    except: []
    extraExcept: [/a/x]
    privileged: false
  lying-base-label: {unknownClaims: refuse}
  image-config: {alert: [], ignore: [user-root, preload], rootUser: always}
"""
    )
    assert policy.match is BaseMatch.PREFIX
    assert policy.undecided is Decision.ALERT
    assert policy.rules["trusted-base"].effect is Effect.ALERT
    assert policy.rules["trusted-base"].severity is Severity.CRITICAL
    assert paths(policy) == ProtectedPathSettings(
        paths=("/a", "/b/**"),
        creation=("/etc/c", "/root/*", "/home/app/.x", "/home/*/.y/**", "/usr/libexec/*"),
        exceptions=("/a/x",),
        privileged=False,
    )
    settings = policy.rules["lying-base-label"].settings
    assert settings == LyingBaseLabelSettings(unknown_claims="refuse")
    assert policy.rules["image-config"].settings == ImageConfigSettings(
        alert=(), ignore=("preload", "user-root"), root_user="always"
    )
    assert Policy.from_json(policy.to_json()) == policy


def test_extra_lists_add_to_the_defaults() -> None:
    policy = load("rules: {protected-path: {extraPaths: [/srv/**], extraExcept: [/etc/passwd]}}")
    assert paths(policy).paths == (*PROTECTED_PATHS, "/srv/**")
    assert paths(policy).exceptions == (*EXCEPTIONS, "/etc/passwd")


def test_rules_that_are_not_named_keep_their_defaults() -> None:
    policy = load("rules: {trusted-base: {effect: ignore}}")
    assert policy.rules["protected-path"] == DEFAULT_POLICY.rules["protected-path"]
    assert policy.rules["trusted-base"].effect is Effect.IGNORE


def test_glob_that_looks_like_a_number_is_text_when_quoted() -> None:
    assert load('rules: {protected-path: {paths: ["/7"]}}').rules


def test_byte_order_mark_is_passed_over() -> None:
    assert load_policy(b"\xef\xbb\xbf" + HEAD.encode(), where="p") == DEFAULT_POLICY


# --- digest and cache --------------------------------------------------------------------------


def test_digest_is_over_what_the_policy_says() -> None:
    spaced = load("# a comment\nrules:\n  trusted-base:\n    effect: refuse\n\n")
    assert spaced.digest == DEFAULT_POLICY.digest
    assert load("undecided: alert").digest != DEFAULT_POLICY.digest
    assert load("base: {match: prefix}").digest != DEFAULT_POLICY.digest
    assert load("rules: {trusted-base: {severity: low}}").digest != DEFAULT_POLICY.digest
    assert load("rules: {protected-path: {extraPaths: [/x]}}").digest != DEFAULT_POLICY.digest


def test_cache_key_follows_the_bytes() -> None:
    assert cache_key(b"a") == cache_key(b"a") != cache_key(b"b")


# --- what is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "place", "said"),
    [
        ("undecided: maybe\n", "3:12", "'maybe' is not admit, alert or refuse"),
        ("undecided: 3\n", "3:12", "3 is not admit, alert or refuse"),
        ("undecided: true\n", "3:12", "true is not admit"),
        ("undecided: [refuse]\n", "3:12", "a list is not admit"),
        ("undecided:\n", "3:1", "nothing is not admit"),
        ("rulez: {}\n", "3:1", "did you mean rules?"),
        ("base: whole\n", "3:7", "base is not a mapping"),
        ("base: {macth: whole}\n", "3:8", "did you mean match?"),
        ("rules: []\n", "3:8", "rules is not a mapping"),
        ("rules: {trusted-bass: {}}\n", "3:9", "did you mean trusted-base?"),
        ("rules: {trusted-base: }\n", "3:9", "the rule trusted-base is not a mapping"),
        ("rules: {trusted-base: {paths: [/a]}}\n", "3:24", "unknown key 'paths'"),
        ("rules: {trusted-base: {effect: deny}}\n", "3:32", "'deny' is not ignore, alert or"),
        ("rules: {trusted-base: {severity: bad}}\n", "3:34", "'bad' is not low, medium"),
        ("rules: {protected-path: {paths: []}}\n", "3:33", "paths is empty"),
        ("rules: {protected-path: {creation: []}}\n", "3:36", "creation is empty"),
        ("rules: {protected-path: {paths: /a}}\n", "3:33", "not a list of at most"),
        ("rules: {protected-path: {paths: [7]}}\n", "3:34", "7 is not a glob"),
        ("rules: {protected-path: {paths: ['']}}\n", "3:34", "is empty"),
        ("rules: {protected-path: {paths: [etc/x]}}\n", "3:34", "write /etc/x"),
        ("rules: {protected-path: {paths: [/a**]}}\n", "3:34", "uses ** inside a segment"),
        ("rules: {protected-path: {except: [/**]}}\n", "3:35", "would free every path"),
        ("rules: {protected-path: {except: [/*]}}\n", "3:35", "would free every path"),
        ("rules: {protected-path: {except: [/**/*]}}\n", "3:35", "would free every path"),
        ("rules: {protected-path: {creation: [/usr/x]}}\n", "3:37", "would never match"),
        ("rules: {protected-path: {creation: [/home/*/x]}}\n", "3:37", "would never match"),
        ("rules: {protected-path: {creation: [/home/**/.x]}}\n", "3:37", "would never match"),
        ("rules: {protected-path: {privileged: no}}\n", "3:38", "'no' is not true or false"),
        ("rules: {image-config: {ignore: preload}}\n", "3:32", "'preload' is not a list"),
        ("rules: {image-config: {ignore: [preload, x]}}\n", "3:42", "'x' is not preload, "),
        ("rules: {image-config: {ignore: [[]]}}\n", "3:33", "a list is not preload, "),
        ("rules: {lying-base-label: {unknownClaims: 1}}\n", "3:43", "1 is not ignore, alert"),
    ],
)
def test_mistake_is_refused_at_its_place(text: str, place: str, said: str) -> None:
    (problem,) = problems(HEAD + text)
    assert problem.startswith(f"p.yaml:{place}: ")
    assert said in problem


def test_all_mistakes_are_reported_at_once_in_the_order_of_the_file() -> None:
    found = problems("kind: Polizei\nundecided: x\nrules:\n  a: {}\n  trusted-base: {b: 1}\n")
    assert [problem.split(":")[1] for problem in found] == ["1", "1", "2", "4", "5"]
    assert "apiVersion is missing" in found[0]


def test_other_version_is_refused() -> None:
    (problem,) = problems("apiVersion: layerproof/v2\nkind: Policy\n")
    assert "write apiVersion: layerproof/v1" in problem


@pytest.mark.parametrize("text", ["", "# nothing\n", "null", "[]", "3", "text"])
def test_file_that_is_no_policy_is_refused(text: str) -> None:
    assert "a policy is not a mapping" in problems(text)[0]


def test_policy_that_ignores_every_rule_is_refused() -> None:
    rules = "".join(f"  {name}: {{effect: ignore}}\n" for name in DEFAULT_POLICY.rules)
    (problem,) = problems(f"{HEAD}rules:\n{rules}")
    assert "every rule is ignored" in problem


# --- hostile YAML ------------------------------------------------------------------------------

BOMB = "a: &a [x,x]\n" + "".join(f"b{n}: &b{n} [*a,*a,*a,*a]\n" for n in range(30))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (BOMB, "an anchor or alias"),
        ("rules: *x\n", "an anchor or alias"),
        ("a: &x 1\n", "an anchor or alias"),
        ("&x a: 1\n", "an anchor or alias"),
        ("rules: !!python/object/apply:os.system [id]\n", "a tag"),
        ("rules: !x {}\n", "a tag"),
        ("%YAML 1.1\n---\na: 1\n", "a % directive"),
        ("%TAG ! tag:x,2026:\n---\na: 1\n", "a % directive"),
        ("a: 1\n---\nb: 1\n", "a second document"),
        ("[" * 900, "too many or too deeply nested"),
        ("[" * 10_000, "exceeded maximum nesting depth"),
        ("{a: " * 10_000, "too many or too deeply nested"),
        ("- " * 10_000, "too many or too deeply nested"),
        ("- a\n" * 30_000, "too many or too deeply nested"),
        ("a: " + "x" * 300_000, "too large"),
        ("a: b: c\n", "not YAML"),
        ("a: 'x\n", "not YAML"),
        ("\ta: 1\n", "not YAML"),
        ("a: \x00\n", "not YAML"),
        (b"a: \xff\n", "not UTF-8"),
        ("a: 1\n".encode("utf-16"), "not UTF-8"),
    ],
    ids=range(21),
)
def test_hostile_yaml_is_refused(text: str | bytes, said: str) -> None:
    assert said in problems(text)[-1]


def test_key_that_stands_twice_is_refused() -> None:
    (problem,) = problems(f"{HEAD}undecided: refuse\nundecided: admit\n")
    assert problem.startswith("p.yaml:4:1: the key 'undecided' stands twice (first in line 3)")


def test_merge_key_is_no_way_around_the_schema() -> None:
    found = problems(f"{HEAD}<<: {{undecided: admit}}\n")
    assert "unknown key '<<'" in found[0]


@pytest.mark.parametrize("key", ["[a]", "{a: b}", "3", "true", "~"])
def test_key_that_is_not_text_is_refused(key: str) -> None:
    assert "a key that is not text" in problems(f"{HEAD}? {key}\n: 1\n")[0]


def test_escape_sequences_of_a_file_do_not_reach_a_message() -> None:
    problems(f'{HEAD}"\\e[2J\\u202e": 1\nundecided: "\\e[2J"\n')


ODD = st.text(st.sampled_from(list("ab:-?[]{},&*!|>'\"%@`#~ \n\t\\/01")) | st.characters())


@given(ODD | st.builds(lambda text: HEAD + "rules:\n  protected-path:\n    " + text, ODD))
def test_any_text_is_a_policy_or_a_policy_error(text: str) -> None:
    with suppress(PolicyError):
        load_policy(text.encode("utf-8", "surrogatepass"), where="p.yaml")


@given(st.binary(max_size=200))
def test_any_bytes_are_a_policy_or_a_policy_error(data: bytes) -> None:
    with suppress(PolicyError):
        load_policy(data, where="p.yaml")


# --- the page ----------------------------------------------------------------------------------


def test_example_of_the_page_is_a_policy() -> None:
    example = re.search(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert example is not None
    policy = load_policy(example[1].encode(), where="policy.md")
    assert "/srv/keys/**" in paths(policy).paths


def test_errors_on_the_page_are_those_that_are_made() -> None:
    shown = re.search(r"```text\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert shown is not None
    found = problems(
        f"{HEAD}rules:\n  trusted-bass: {{}}\n  protected-path: {{paths: [etc/passwd]}}\n"
    )
    texts = [line.split(": ", 1)[1] for line in shown[1].splitlines()]
    assert texts == [line.split(": ", 1)[1] for line in found]
