"""Who we are in a cluster: read from a kubeconfig, and never without the verification of TLS."""

import base64
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from layerproof.clusters.kubernetes import find_access, read_kubeconfig
from layerproof.errors import UsageError


def write(folder: Path, user: dict[str, Any], **cluster: Any) -> Path:
    file = folder / "config"
    document = {
        "current-context": "a",
        "contexts": [
            {"name": "a", "context": {"cluster": "c", "user": "u", "namespace": "shop"}},
            {"name": "b", "context": {"cluster": "gone", "user": "u"}},
        ],
        "clusters": [{"name": "c", "cluster": {"server": "https://api.example:6443/", **cluster}}],
        "users": [{"name": "u", "user": user}],
    }
    file.write_text(json.dumps(document))  # JSON is YAML
    return file


def test_a_context_is_read_with_its_secrets_out_of_sight(tmp_path: Path) -> None:
    data = base64.b64encode(b"pem").decode()
    user = {"token": "hush", "client-certificate-data": data, "client-key-data": data}
    found = read_kubeconfig(write(tmp_path, user, **{"certificate-authority-data": data}))
    assert found.server == "https://api.example:6443"
    assert (found.authority, found.certificate, found.key) == (b"pem", b"pem", b"pem")
    assert (found.bearer(), found.namespace) == ("hush", "shop")
    assert "hush" not in repr(found)


def test_files_are_named_beside_the_kubeconfig_and_tokens_read_anew(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_bytes(b"authority")
    (tmp_path / "token").write_text("first\n")
    found = read_kubeconfig(
        write(tmp_path, {"tokenFile": "token"}, **{"certificate-authority": "ca.pem"})
    )
    assert found.authority == b"authority"
    assert found.bearer() == "first"
    (tmp_path / "token").write_text("second\n")
    assert found.bearer() == "second"


def test_a_program_may_say_who_we_are(tmp_path: Path) -> None:
    said = json.dumps({"status": {"token": "made"}})
    plugin = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": sys.executable,
        "args": ["-c", f"print({said!r})"],
        "env": [{"name": "X", "value": "y"}],
    }
    assert read_kubeconfig(write(tmp_path, {"exec": plugin})).bearer() == "made"
    plugin["args"] = ["-c", "raise SystemExit(1)"]
    with pytest.raises(UsageError, match="does not say who we are"):
        read_kubeconfig(write(tmp_path, {"exec": plugin}))


def test_tls_that_is_not_verified_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="verification of TLS off"):
        read_kubeconfig(write(tmp_path, {}, **{"insecure-skip-tls-verify": True}))


@pytest.mark.parametrize("context", ["b", "unheard-of"])
def test_a_context_that_is_not_there_is_told(tmp_path: Path, context: str) -> None:
    with pytest.raises(UsageError, match="no kubeconfig with the context"):
        read_kubeconfig(write(tmp_path, {}), context)


def test_a_file_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("[not a mapping")
    for name in ("x", "missing"):
        with pytest.raises(UsageError):
            find_access({"KUBECONFIG": str(tmp_path / name)})
