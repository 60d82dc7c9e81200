"""The command line from end to end, in process, on images made for each test."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from layerproof.cli.app import App
from layerproof.cli.main import run as run_cli
from layerproof.model.image import Platform
from layerproof.oci.manifest import host_platform
from layerproof.testing.images import (
    BuiltImage,
    File,
    Whiteout,
    build,
    index,
    layer,
    write_docker_archive,
    write_oci_layout,
)

STATUS = b"""Package: bash
Status: install ok installed
Architecture: amd64
Version: %b

"""
BASE = build(
    [
        {
            "etc/passwd": "root:x:0:0::/root:/bin/sh\n",
            "etc/shadow": File(b"root:!:::::::\n", mode=0o640),
            "usr/bin/login": File(b"login", mode=0o755),
            "var/lib/dpkg/status": STATUS % b"5.2-1",
        }
    ]
)
GOOD = build([layer({"srv/app": "1"}, created_by="COPY app /srv/")], base=BASE)
BAD = build([layer({"etc/shadow": Whiteout()}, created_by="RUN rm /etc/shadow")], base=GOOD)
UPGRADED = build([{"var/lib/dpkg/status": STATUS % b"5.2-2"}], base=GOOD)


class Result:
    """What one command did."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def documents(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


Run = Callable[..., Result]


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    images: dict[str, BuiltImage] = {"base": BASE, "good": GOOD, "bad": BAD, "upgraded": UPGRADED}
    write_oci_layout(tmp_path / "images", images)
    return tmp_path / "images"


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("LAYERPROOF_INDEX", str(tmp_path / "index.db"))
    monkeypatch.setenv("LAYERPROOF_WORKERS", "1")
    monkeypatch.setenv("COLUMNS", "80")

    def run(*arguments: str) -> Result:
        code = run_cli(arguments)
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return run


@pytest.fixture
def trusting(run: Run, layout: Path) -> Run:
    assert run("trust", "add", f"oci:{layout}:base", "-r", "golden").code == 0
    return run


def test_clean_image_on_trusted_base_is_admitted(trusting: Run, layout: Path) -> None:
    result = trusting("check", f"oci:{layout}:good")
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith(f"ADMIT  oci:{layout}:good")


def test_whiteout_of_shadow_file_is_refused(trusting: Run, layout: Path) -> None:
    result = trusting("check", "-o", "json", f"oci:{layout}:bad")
    (document,) = result.documents
    assert (result.code, document["decision"], document["verdict"]) == (1, "refuse", "untrusted")
    assert document["base"]["layers"] == 1
    verdicts = [la["verdict"] for la in document["layers"]]
    assert verdicts == ["trusted", "trusted", "untrusted"]
    (finding,) = document["layers"][2]["findings"]
    assert finding["rule"] == "protected-path"
    assert "/etc/shadow" in finding["message"]


def test_image_on_an_unknown_base_is_refused(run: Run, layout: Path) -> None:
    result = run("check", "-o", "json", f"oci:{layout}:good")
    assert result.code == 1
    assert [f["rule"] for f in result.documents[0]["findings"]] == ["trusted-base"]


def test_revoked_trust_refuses_and_says_why(trusting: Run, layout: Path) -> None:
    (record,) = trusting("trust", "list", "-o", "json").documents
    assert trusting("trust", "revoke", record["id"], "-r", "the key leaked").code == 0
    result = trusting("check", f"oci:{layout}:good")
    assert result.code == 1
    assert "the key leaked" in " ".join(result.out.split())


def test_expired_trust_is_no_trust(run: Run, layout: Path) -> None:
    result = run("trust", "add", f"oci:{layout}:base", "-r", "x", "--expires", "2001-01-01")
    assert result.code == 2
    assert run("trust", "list").out.startswith("no image is trusted")


def test_several_images_are_all_judged_and_the_worst_decides(
    trusting: Run, layout: Path, tmp_path: Path
) -> None:
    images = [f"oci:{layout}:{name}" for name in ("good", "bad")]
    result = trusting("check", "-o", "json", *images, f"oci:{tmp_path}/none")
    assert result.code == 3
    assert [d["decision"] for d in result.documents] == ["admit", "refuse"]
    assert json.loads(result.err)["kind"] == "Error"


def test_unanchored_glob_in_the_policy_is_a_usage_error(
    run: Run, layout: Path, tmp_path: Path
) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(
        "apiVersion: layerproof/v1\nkind: Policy\n"
        "rules:\n  protected-path:\n    extraPaths: [etc]\n  no-such-rule: {}\n"
    )
    result = run("check", "--policy", str(policy), f"oci:{layout}:good")
    assert result.code == 2
    assert "policy.yaml:5:" in result.err
    assert "no-such-rule" in result.err


def test_policy_file_changes_the_decision_also_from_the_cache(
    trusting: Run, layout: Path, tmp_path: Path
) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(
        "apiVersion: layerproof/v1\nkind: Policy\nrules:\n  protected-path: {effect: alert}\n"
    )
    for _ in range(2):
        result = trusting("check", "-o", "json", "--policy", str(policy), f"oci:{layout}:bad")
        assert (result.code, result.documents[0]["decision"]) == (0, "alert")


def test_show_has_the_documented_form(trusting: Run, layout: Path) -> None:
    (document,) = trusting("show", "-o", "json", f"oci:{layout}:upgraded").documents
    assert document["apiVersion"] == "layerproof/v1"
    assert [la["chainId"] for la in document["layers"]] == list(UPGRADED.chain_ids)
    assert [la["diffId"] for la in document["layers"]] == list(UPGRADED.diff_ids)
    assert [la["trusted"] for la in document["layers"]] == [True, False, False]
    assert document["layers"][0]["packages"] == [
        {"purl": "pkg:deb/debian/bash@5.2-1?arch=amd64", "change": "added"}
    ]
    assert document["layers"][2]["packages"] == [
        {"purl": "pkg:deb/debian/bash@5.2-2?arch=amd64", "change": "changed", "before": "5.2-1"}
    ]
    assert document["layers"][2]["changes"]["replaced"] == 1


def test_show_as_a_table_fits_80_columns(trusting: Run, layout: Path) -> None:
    result = trusting("show", "--packages", f"oci:{layout}:bad")
    assert max(map(len, result.out.splitlines()[1:])) <= 80
    assert "RUN rm /etc/shadow" in result.out
    assert "trusted" in result.out


def test_control_characters_of_an_image_never_reach_the_terminal(run: Run, tmp_path: Path) -> None:
    evil = build([layer({b"etc/\x1b]0;pwned\x07": "x"}, created_by="RUN \x1b[2Jgone")],
                 labels={"org.opencontainers.image.base.name": "a\x1b[31mb"})  # fmt: skip
    write_oci_layout(tmp_path / "evil", {"evil": evil})
    reference = f"oci:{tmp_path}/evil"
    for arguments in (("check",), ("show", "--packages"), ("diff",), ("index",)):
        result = run(*arguments, reference)
        assert "\x1b" not in result.out.replace("\x1b[0m", ""), arguments
        assert "\x07" not in result.out


def test_diff_of_a_layer_lists_what_it_adds_and_deletes(run: Run, layout: Path) -> None:
    (document,) = run("diff", "-o", "json", f"oci:{layout}:bad").documents
    deleted = [c["path"] for c in document["changes"] if c["change"] == "deleted"]
    assert deleted == ["etc/shadow"]
    (document,) = run("diff", "-o", "json", f"oci:{layout}:bad", "--layer", "1").documents
    assert "srv/app" in [c["path"] for c in document["changes"] if c["change"] == "added"]
    assert run("diff", f"oci:{layout}:bad", "--layer", "9").code == 2


def test_diff_of_two_images_compares_what_their_containers_see(run: Run, layout: Path) -> None:
    (document,) = run(
        "diff", "-o", "json", f"oci:{layout}:base", f"oci:{layout}:upgraded"
    ).documents
    assert document["commonLayers"] == 1
    assert {c["path"]: c["change"] for c in document["changes"]} == {
        "srv": "added",
        "srv/app": "added",
        "var/lib/dpkg/status": "replaced",
    }
    assert [p["change"] for p in document["packages"]] == ["changed"]


def test_find_tells_which_layers_and_images_hold_or_change(run: Run, layout: Path) -> None:
    for name in ("bad", "upgraded"):
        assert run("index", f"oci:{layout}:{name}").code == 0
    found = run("find", "path", "/etc/shadow", "-o", "json").documents
    assert {hit["diffId"] for hit in found} == {BASE.diff_ids[0], BAD.diff_ids[2]}
    deleting = next(hit for hit in found if hit["diffId"] == BAD.diff_ids[2])
    assert [c["change"] for c in deleting["changes"]] == ["deleted"]
    assert deleting["images"] == [f"oci:{layout}:bad"]
    packages = run("find", "package", "bash@5.2-2", "-o", "json").documents
    assert [hit["diffId"] for hit in packages] == [UPGRADED.diff_ids[2]]
    assert packages[0]["packageChanges"][0]["change"] == "changed"
    digest = "428821350e9691491f616b754cd8315fb86d797ab35d843479e732ef90665324"  # "login"
    files = run("find", "file", digest, "-o", "json").documents
    assert [e["path"] for hit in files for e in hit["entries"]] == ["usr/bin/login"]
    assert run("find", "path", "/nowhere").code == 1


def test_find_package_tells_which_layer_removed_it(run: Run, tmp_path: Path) -> None:
    gone = build([{"var/lib/dpkg/status": b""}], base=BASE)
    write_oci_layout(tmp_path / "gone", {"gone": gone})
    run("index", f"oci:{tmp_path}/gone")
    found = run("find", "package", "bash", "-o", "json").documents
    changes = {hit["diffId"]: [c["change"] for c in hit["packageChanges"]] for hit in found}
    assert changes == {gone.diff_ids[0]: ["added"], gone.diff_ids[1]: ["removed"]}


def test_archive_by_its_bare_path_is_recognised(trusting: Run, tmp_path: Path) -> None:
    write_docker_archive(tmp_path / "good.tar", {"good:1": GOOD})
    assert trusting("check", str(tmp_path / "good.tar")).code == 0


def test_by_digest_the_index_answers_alone(trusting: Run, layout: Path) -> None:
    assert trusting("index", f"oci:{layout}:good").code == 0
    for digest in (GOOD.manifest_digest, GOOD.config_digest):
        assert trusting("check", digest).code == 0
    unreachable = f"docker://127.0.0.1:1/x@{GOOD.manifest_digest}"
    assert trusting("check", unreachable).code == 0
    assert trusting("check", "--offline", "docker://127.0.0.1:1/x:1").code == 3


def test_wrong_platform_is_told(run: Run, layout: Path) -> None:
    result = run("check", "--platform", "linux", f"oci:{layout}:good")
    assert result.code == 2
    assert "linux/arm64" in result.err


@pytest.mark.parametrize("arguments", [("nonsense",), ("check",), ("check", "--nonsense", "x")])
def test_wrong_use_ends_with_2(run: Run, arguments: tuple[str, ...]) -> None:
    assert run(*arguments).code == 2


def test_demo_tells_its_story(run: Run) -> None:
    result = run("demo", "-o", "json")
    assert result.code == 0
    decisions = [d["decision"] for d in result.documents]
    assert decisions == ["admit", "refuse", "refuse", "refuse", "refuse"]


@pytest.mark.parametrize("label", ["${BASE}", "Debian:12", "a\x1bb", "x" * 9000])
def test_label_that_names_nothing_cannot_stop_a_verdict(
    run: Run, tmp_path: Path, label: str
) -> None:
    labels = {"org.opencontainers.image.base.name": label}
    write_oci_layout(tmp_path / "odd", {"odd": build([{"a": "b"}], labels=labels)})
    assert run("check", f"oci:{tmp_path}/odd").code == 1


def test_unknown_digest_is_not_asked_of_a_registry(run: Run) -> None:
    result = run("check", "-o", "json", "sha256:" + "0" * 64)
    assert (result.code, json.loads(result.err)["code"]) == (3, "not-found")


def test_offline_name_stands_for_the_image_of_this_platform(trusting: Run, tmp_path: Path) -> None:
    """Two platforms under one name: the good one must not answer for the other."""
    host = host_platform()
    other = Platform("linux", "s390x" if host.architecture != "s390x" else "amd64")
    evil = build([{"etc/shadow": Whiteout()}], base=BASE, platform=host)
    good = build([{"srv/x": "y"}], base=BASE, platform=other)
    write_oci_layout(tmp_path / "both", {"1": index(evil, good)})
    reference = f"oci:{tmp_path}/both:1"
    assert trusting("check", reference).code == 1
    assert trusting("check", "--platform", str(other), reference).code == 0
    assert trusting("check", "--offline", reference).code == 1
    assert trusting("check", "--offline", "--platform", str(other), reference).code == 0


def test_defect_does_not_look_like_a_refusal(
    run: Run, layout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def defect(*_: object) -> None:
        raise KeyError("the defect")

    monkeypatch.setattr("layerproof.engine.facts.gather", defect)
    result = run("check", "-o", "json", f"oci:{layout}:good")
    assert result.code == 3
    assert "defect" in json.loads(result.err)["message"]


def test_wrong_use_is_a_document_for_programs(run: Run) -> None:
    result = run("check", "--output", "json", "--nonsense", "x")
    assert (result.code, json.loads(result.err)["code"]) == (2, "usage")


def test_reader_that_has_enough_ends_with_141_and_no_complaint(
    layout: Path, tmp_path: Path
) -> None:
    program = Path(sys.executable).parent / "layerproof"
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [program, "check", f"oci:{layout}:good", "--index", tmp_path / "p.db"],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize("by", ["option", "variable"])
@pytest.mark.parametrize(
    "command",
    [
        "gate docker serve",
        "gate containerd serve",
        "gate kubernetes serve --listen 127.0.0.1:0",
        "gate registry serve --upstream http://127.0.0.1:1 --listen 127.0.0.1:0",
        "watch docker --once",
        "watch containerd --once",
        "worker",
        "serve --listen 127.0.0.1:0",
    ],
)
def test_what_decides_by_an_index_of_its_own_does_not_pass_over_a_service_that_is_named(
    run: Run, monkeypatch: pytest.MonkeyPatch, command: str, by: str
) -> None:
    words = command.split()
    if by == "option":
        words += ["--server", "https://layerproof.example"]
    else:
        monkeypatch.setenv("LAYERPROOF_SERVER", "https://layerproof.example")
    result = run(*words)
    assert result.code == 2, result.err
    assert "--server" in result.err
    assert "--index" in result.err


def test_an_option_wins_though_the_settings_were_looked_at_before(tmp_path: Path) -> None:
    """As gates do, which first look whether a service is named."""
    app = App()
    app.without_service()
    app.use("LAYERPROOF_POLICY", tmp_path / "policy.yaml")
    assert app.settings.policy == tmp_path / "policy.yaml"
