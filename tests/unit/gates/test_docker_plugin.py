"""The Docker gate against requests that were made to get by it. Each test is an attack or a
failure, and its outcome."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.unit.attacks.world import NOW, policy
from tests.unit.gates.docker_world import EVIL, GOOD, GateWorld, request

from layerproof.analysis.current import CURRENT
from layerproof.engine.decide import decide
from layerproof.engine.lookup import find_image
from layerproof.errors import IndexUnavailableError
from layerproof.testing.advisories import nothing_known
from layerproof.testing.images import build

CREATE = "/v1.41/containers/create"
JSON = {"Content-Type": "application/json"}


@pytest.fixture
def gate(tmp_path: Path) -> GateWorld:
    return GateWorld(tmp_path)


# --- what it is for ------------------------------------------------------------------------------


def test_trusted_image_is_admitted_by_name_and_by_id(gate: GateWorld) -> None:
    gate.admits("POST", CREATE, {"Image": "good"})
    gate.admits("POST", CREATE, {"Image": str(GOOD.config_digest)})


def test_untrusted_image_is_refused_and_the_reason_names_the_layer(gate: GateWorld) -> None:
    said = gate.refuses("POST", CREATE, {"Image": "evil"})
    assert "layer 1 foreign-executable" in said
    assert "layerproof check" in said


def test_looking_is_never_asked_about(gate: GateWorld) -> None:
    gate.engine.gone = True
    for path in ("/_ping", "/v1.41/containers/json", "/v1.41/images/evil/json", "/v1.41/events"):
        gate.admits("GET", path)
    gate.admits("HEAD", "/_ping")


def test_image_that_the_engine_lacks_passes_so_that_the_client_pulls_it(gate: GateWorld) -> None:
    gate.admits("POST", CREATE, {"Image": "absent"})


def test_unknown_image_is_refused_as_undecided(gate: GateWorld) -> None:
    gate.engine.put("new", build([{"etc/new": "x"}]))
    assert "nothing is known about this image yet" in gate.refuses("POST", CREATE, {"Image": "new"})


def test_start_judges_what_the_container_was_made_from(gate: GateWorld) -> None:
    gate.engine.containers["c1"] = {"Image": str(EVIL.config_digest), "Config": {"Image": "good"}}
    gate.refuses("POST", "/v1.41/containers/c1/start")
    gate.refuses("POST", "/v1.41/containers/c1/restart?t=1")
    gate.engine.containers["c2"] = {"Image": str(GOOD.config_digest), "Config": {"Image": "good"}}
    gate.admits("POST", "/v1.41/containers/c2/start")


def test_tag_that_moves_between_create_and_start_gains_nothing(gate: GateWorld) -> None:
    gate.admits("POST", CREATE, {"Image": "good"})
    gate.engine.put("good", EVIL)  # and the engine makes the container from that
    gate.engine.containers["c"] = {"Image": str(EVIL.config_digest), "Config": {"Image": "good"}}
    gate.refuses("POST", "/v1.41/containers/c/start")


def test_container_whose_trust_ended_does_not_start_again(gate: GateWorld) -> None:
    from layerproof.engine.trust import revoke_trust

    gate.engine.containers["c"] = {"Image": str(GOOD.config_digest), "Config": {"Image": "good"}}
    gate.admits("POST", "/v1.41/containers/c/start")
    (record,) = gate.world.index.trust_records()
    revoke_trust(gate.world.index, record.id, by="bob", reason="stolen key", now=gate.clock.now())
    gate.refuses("POST", "/v1.41/containers/c/start")


def test_removed_image_of_a_container_is_still_judged(gate: GateWorld) -> None:
    gate.engine.containers["c"] = {"Image": str(EVIL.config_digest), "Config": {"Image": "x"}}
    gate.engine.images.clear()
    gate.refuses("POST", "/v1.41/containers/c/start")


# --- bodies that were made to be read in two ways ------------------------------------------------


def test_cve_2024_41110_empty_body_is_denied(gate: GateWorld) -> None:
    said = gate.refuses("POST", CREATE, None, headers={**JSON, "Content-Length": "0"})
    assert "did not arrive" in said


def test_cve_2026_34040_body_that_the_engine_dropped_is_denied(gate: GateWorld) -> None:
    # More than 1 MiB: the engine forwards the request to the plugin without it.
    gate.refuses("POST", CREATE, None, headers={**JSON, "Content-Length": "1048577"})


def test_retry_with_a_drained_body_is_denied_where_the_first_was_admitted(gate: GateWorld) -> None:
    first, second = gate.ask(request("POST", CREATE, {"Image": "good"}), request("POST", CREATE))
    assert first == {"Allow": True}
    assert second["Allow"] is False


@pytest.mark.parametrize(
    "body",
    [
        b'{"Image":"good","Image":"evil"}',
        b'{"Image":"good","image":"evil"}',
        b'{"image":"evil"}',
        b'{"IMAGE":"evil","Image":"good"}',
        b'{"Image":"good","HostConfig":{},"hostconfig":{"Mounts":[{"Type":"image","Source":"evil"}]}}',
        '{"Image":"good","Ho\u017ftConfig":{}}'.encode(),
        b'{"Image":"good"}{"Image":"evil"}',
        b'[{"Image":"good"}]',
        b"null",
        b'{"Image":["good"]}',
        b'{"Image":""}',
        b'{"Image":NaN}',
        b"\xef\xbb\xbf" + b'{"Image":"good"}',
        '{"Image":"good"}'.encode("utf-16"),
        b'{"Image":"good","x":"\xff"}',
        b'{"Image":"good","a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"Image":"good",',
    ],
    ids=[
        "duplicate", "case variant", "only a variant", "variant first", "variant object",
        "long s", "two values", "list", "null", "list of images", "no name", "NaN",
        "byte order mark", "utf-16", "not utf-8", "nested", "cut off",
    ],
)  # fmt: skip
def test_body_that_can_be_read_in_two_ways_is_denied(gate: GateWorld, body: bytes) -> None:
    gate.refuses("POST", CREATE, body)


def test_free_keys_of_labels_may_be_alike(gate: GateWorld) -> None:
    labels = {"image": "a", "Image": "b", "mounts": "c"}
    body = {
        "Image": "good",
        "Labels": labels,
        "HostConfig": {"LogConfig": {"Config": {"labels": "x"}}},
    }
    gate.admits("POST", CREATE, body)


def test_encoded_body_is_denied(gate: GateWorld) -> None:
    gate.refuses("POST", CREATE, {"Image": "good"}, headers={**JSON, "Content-Encoding": "gzip"})


def test_form_is_denied_because_the_engine_reads_parameters_from_it(gate: GateWorld) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    gate.refuses("POST", "/v1.41/images/create?fromImage=good", headers=headers)


def test_mounted_image_is_judged_too(gate: GateWorld) -> None:
    mount = {"Type": "image", "Source": "evil", "Target": "/x"}
    gate.refuses("POST", CREATE, {"Image": "good", "HostConfig": {"Mounts": [mount]}})
    gate.refuses("POST", CREATE, {"Image": "good", "Mounts": [mount]})  # as old clients wrote it
    gate.admits(
        "POST", CREATE, {"Image": "good", "HostConfig": {"Mounts": [mount | {"Type": "bind"}]}}
    )


def test_start_with_settings_of_its_own_is_denied(gate: GateWorld) -> None:
    gate.engine.containers["c"] = {"Image": str(GOOD.config_digest), "Config": {}}
    gate.refuses("POST", "/v1.20/containers/c/start", {"Mounts": []})


# --- addresses -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "uri",
    [
        "/containers/create",
        "/v1.24/containers/create",
        "//v1.41//containers///create",
        "/v1.41/containers/create/",
        "http://localhost/v1.41/containers/create",
        "https://user@host:1/containers/create?name=x",
        "/v1.41/%63ontainers/create",
        "/v1.41/containers%2fcreate",
        "/%76%31.41/containers/create",
    ],
)
def test_every_spelling_of_create_is_the_same_call(gate: GateWorld, uri: str) -> None:
    gate.refuses("POST", uri, {"Image": "evil"})
    gate.admits("POST", uri, {"Image": "good"})


@pytest.mark.parametrize(
    "uri",
    [
        "/v1.41/containers/x/../create",
        "/v1.41/./containers/create",
        "/v1.41/containers/%2e%2e/containers/create",
        "/v1.41/%2563ontainers/create",
        "/v1.41/containers/create%",
        "/v1.41/containers/create%00",
        "/v1.41/containers\\create",
        "/v1.41/containers/create#x",
        "/v1.41/contain\u00e9rs/%ff",
        "/v1.41/images/create?fromImage=good&fromImage=evil",
        "/v1.41/images/create?fromImage=good;x=y",
        "/" + "a" * 40_000,
    ],
)
def test_address_that_cannot_be_read_with_certainty_is_denied(gate: GateWorld, uri: str) -> None:
    gate.refuses("POST", uri, {"Image": "good"})


def test_unknown_method_and_unknown_call_are_denied(gate: GateWorld) -> None:
    gate.refuses("post", CREATE, {"Image": "good"})
    gate.refuses("BREW", "/pot")
    assert "does not know" in gate.refuses("POST", "/v1.99/containers/c/teleport")
    gate.refuses("POST", "/v1.41/v1.41/containers/create", {"Image": "good"})


# --- the other calls -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "uri"),
    [
        ("POST", "/v1.41/build?t=x"),
        ("POST", "/session"),
        ("POST", "/grpc"),
        ("POST", "/v1.41/plugins/pull?remote=evil"),
        ("POST", "/v1.41/plugins/other/disable"),
        ("DELETE", "/v1.41/plugins/other"),
        ("PUT", "/v1.41/containers/c/archive?path=/bin"),
        ("POST", "/v1.41/containers/c/start?checkpoint=x&checkpoint-dir=/tmp"),
        ("POST", "/v1.41/containers/c/checkpoints"),
    ],
)
def test_call_that_goes_round_the_judgement_is_refused_by_default(
    gate: GateWorld, method: str, uri: str
) -> None:
    gate.engine.containers["c"] = {"Image": str(GOOD.config_digest), "Config": {}}
    assert "gates.docker.calls." in gate.refuses(method, uri)


@pytest.mark.parametrize(
    ("method", "uri"),
    [
        ("POST", "/v1.41/images/load"),
        ("POST", "/v1.41/images/create?fromSrc=-"),
        ("POST", "/v1.41/commit?container=c"),
        ("POST", "/v1.41/images/evil/tag?repo=good"),
        ("POST", "/v1.41/images/create?fromImage=evil&tag=1"),
        ("POST", "/v1.41/images/registry.example/team/evil/push"),
        ("DELETE", "/v1.41/images/evil"),
        ("POST", "/v1.41/containers/c/stop"),
        ("POST", "/v1.41/networks/create"),
        ("POST", "/v1.41/build/prune"),
        ("POST", "/v1.41/containers/prune"),
    ],
)
def test_call_that_starts_nothing_passes(gate: GateWorld, method: str, uri: str) -> None:
    gate.admits(method, uri)


def test_policy_opens_and_closes_kinds_of_calls(tmp_path: Path) -> None:
    calls = "gates: {docker: {calls: {build: admit, load: refuse}}}\n"
    gate = GateWorld(tmp_path, policy(calls))
    gate.admits("POST", "/v1.41/build")
    gate.refuses("POST", "/v1.41/images/load")


def test_pull_of_a_digest_that_is_refused_is_denied_and_of_an_unknown_one_passes(
    gate: GateWorld,
) -> None:
    evil = f"/v1.41/images/create?fromImage=registry.example/evil&tag={EVIL.manifest_digest}"
    gate.refuses("POST", evil)
    gate.admits("POST", "/v1.41/images/create?fromImage=a&tag=sha256:" + "0" * 64)


def service(image: Any, **more: Any) -> dict[str, Any]:
    return {"Name": "s", "TaskTemplate": {"ContainerSpec": {"Image": image, **more}}}


def test_swarm_service_is_judged_by_its_digest_and_refused_without_one(gate: GateWorld) -> None:
    good = f"registry.example/good:1@{GOOD.manifest_digest}"
    evil = f"registry.example/evil:1@{EVIL.manifest_digest}"
    gate.admits("POST", "/v1.41/services/create", service(good))
    gate.refuses("POST", "/v1.41/services/create", service(evil))
    gate.refuses("POST", "/v1.41/services/x/update?version=1", service(evil))
    assert "no digest" in gate.refuses("POST", "/v1.41/services/create", service("good"))
    mounts = [{"Type": "image", "Source": evil}]
    gate.refuses("POST", "/v1.41/services/create", service(good, Mounts=mounts))
    gate.refuses("POST", "/v1.41/services/create", None)


def test_swarm_service_that_is_a_plugin_is_refused(gate: GateWorld) -> None:
    body = {"TaskTemplate": {"Runtime": "plugin", "PluginSpec": {"Remote": "evil"}}}
    gate.refuses("POST", "/v1.41/services/create", body)


# --- failures ------------------------------------------------------------------------------------


def test_engine_that_does_not_answer_is_refused_by_default(gate: GateWorld) -> None:
    gate.engine.gone = True
    assert "does not answer" in gate.refuses("POST", CREATE, {"Image": "good"})


def test_index_that_is_gone_is_answered_by_the_fail_mode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(_: object) -> str:
        raise IndexUnavailableError("the disk is full")

    for word, admitted in (("refuse", False), ("admit", True)):
        gate = GateWorld(tmp_path, policy(f"gates: {{docker: {{unavailable: {word}}}}}\n"))
        with monkeypatch.context() as patched:
            patched.setattr(type(gate.world.index), "state", gone)
            answer = gate.one("POST", CREATE, {"Image": "good"})
            assert answer["Allow"] is admitted
        (tally,) = gate.tallies()
        assert tally.cause == "unavailable"
        gate.admits("POST", CREATE, {"Image": "good"})  # it is back: nothing to be done
        gate.refuses("POST", CREATE, {"Image": "evil"})


def test_last_policy_holds_when_the_database_is_gone_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = GateWorld(tmp_path, policy("mode: observe\n"))
    before.admits("POST", CREATE, {"Image": "evil"})

    def gone(*_: object) -> Any:
        raise IndexUnavailableError("no connection")

    after = GateWorld(tmp_path)
    monkeypatch.setattr(type(after.world.index), "state", gone)
    after.service.load_policy = gone
    after.admits("POST", CREATE, {"Image": "evil"})  # observed, as was said last


def test_without_any_policy_everything_is_refused(tmp_path: Path) -> None:
    def gone() -> Any:
        raise IndexUnavailableError("no connection")

    gate = GateWorld(tmp_path)
    gate.service.load_policy = gone
    gate.refuses("POST", CREATE, {"Image": "good"})


def test_clock_that_is_set_back_does_not_keep_an_answer_of_the_future(gate: GateWorld) -> None:
    from layerproof.engine.trust import add_trust

    image = gate.world.read(EVIL)
    later = gate.clock.now() + timedelta(days=10)
    add_trust(gate.world.index, image, by="a", reason="r", now=later)
    gate.clock.time = later
    gate.admits("POST", CREATE, {"Image": "evil"})
    gate.clock.time = later - timedelta(days=5)
    gate.refuses("POST", CREATE, {"Image": "evil"})


def test_question_that_is_no_question_is_denied_without_err(gate: GateWorld) -> None:
    for data in (b"", b"[]", b'{"RequestMethod":1}', b'{"RequestBody":"%%"}', b"{" * 9000):
        (answer,) = gate.ask(data)
        assert answer["Allow"] is False
        assert not answer.get("Err")


# --- modes ---------------------------------------------------------------------------------------


def test_observe_admits_everything_and_counts_what_it_would_refuse(tmp_path: Path) -> None:
    gate = GateWorld(tmp_path, policy("mode: observe\n"))
    for body in ({"Image": "evil"}, {"Image": "evil"}, b"", {"Image": "good"}):
        gate.admits("POST", CREATE, body)
    gate.admits("POST", "/v1.41/build")
    would = [t for t in gate.tallies() if t.decided == "refuse"]
    assert sorted(t.count for t in would) == [1, 1, 2]
    assert {str(t.decision) for t in would} == {"admit"}


def test_block_enforces_where_the_rest_observes(tmp_path: Path) -> None:
    text = "mode: observe\nblocks: [{name: n, scope: {hosts: [node-*]}, mode: enforce}]\n"
    GateWorld(tmp_path, policy(text)).refuses("POST", CREATE, {"Image": "evil"})
    other = text.replace("node-*", "other-*")
    GateWorld(tmp_path, policy(other)).admits("POST", CREATE, {"Image": "evil"})


def test_registry_of_the_image_is_known_from_where_the_engine_pulled_it(tmp_path: Path) -> None:
    text = "blocks: [{name: n, scope: {registries: [registry.example]}, mode: alert}]\n"
    gate = GateWorld(tmp_path, policy(text))
    gate.refuses("POST", CREATE, {"Image": "evil"})  # built here: no registry is known
    gate.engine.put("evil", EVIL, (f"registry.example/evil@{EVIL.manifest_digest}",))
    gate.admits("POST", CREATE, {"Image": "evil"})


def test_repo_digest_of_another_image_does_not_stand_for_it(gate: GateWorld) -> None:
    gate.engine.put("evil", EVIL, (f"registry.example/good@{GOOD.manifest_digest}",))
    gate.refuses("POST", CREATE, {"Image": "evil"})


def test_verdict_is_the_same_as_the_commands(gate: GateWorld) -> None:
    index = gate.world.index
    name = str(EVIL.config_digest)
    image = find_image(index, name, None, offline=True, analysers=CURRENT)
    assert image is not None
    asked = decide(
        index, image, gate.policy, gate.clock.now(), CURRENT, advisories=nothing_known(NOW)
    )
    gate.refuses("POST", CREATE, {"Image": "evil"})
    (kept,) = [r for r in index.verdicts() if r.context.gate == "docker"]
    assert kept.verdict == asked.verdict
