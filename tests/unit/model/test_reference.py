"""How references are read: Docker's names, skopeo's transports."""

import pytest

from layerproof.errors import ReferenceSyntaxError
from layerproof.model.digest import Digest
from layerproof.model.reference import Reference, has_transport, parse_name, parse_reference

SHA = "sha256:" + "a1" * 32


@pytest.mark.parametrize(
    ("text", "full"),
    [
        ("python", "docker://docker.io/library/python:latest"),
        ("python:3.12", "docker://docker.io/library/python:3.12"),
        ("docker:dind", "docker://docker.io/library/docker:dind"),
        ("oci", "docker://docker.io/library/oci:latest"),
        ("containerd", "docker://docker.io/library/containerd:latest"),
        ("org/app", "docker://docker.io/org/app:latest"),
        ("localhost/app", "docker://localhost/app:latest"),
        ("localhost:5000/app:1", "docker://localhost:5000/app:1"),
        ("ghcr.io/org/app", "docker://ghcr.io/org/app:latest"),
        ("GHCR.io/org/app", "docker://ghcr.io/org/app:latest"),
        ("index.docker.io/python", "docker://docker.io/library/python:latest"),
        ("docker.io/python", "docker://docker.io/library/python:latest"),
        ("[::1]:5000/app", "docker://[::1]:5000/app:latest"),
        ("docker://a.b/c__d/e-f.g:T_1", "docker://a.b/c__d/e-f.g:T_1"),
        (f"python@{SHA}", f"docker://docker.io/library/python@{SHA}"),
        (f"python:3@{SHA}", f"docker://docker.io/library/python:3@{SHA}"),
        ("docker-daemon:app:1", "docker-daemon:docker.io/library/app:1"),
        (f"docker-daemon:{SHA}", f"docker-daemon:{SHA}"),
        ("docker-archive:/a/b.tar", "docker-archive:/a/b.tar"),
        (
            "docker-archive:b.tar:localhost:5000/app:1",
            "docker-archive:b.tar:localhost:5000/app:1",
        ),
        ("docker-archive:b.tar:app", "docker-archive:b.tar:docker.io/library/app:latest"),
        (f"docker-archive:b.tar@{SHA}", f"docker-archive:b.tar@{SHA}"),
        ("oci:/a/b", "oci:/a/b"),
        ("oci:/a/b:tag", "oci:/a/b:tag"),
        ("oci:/a/b:docker.io/library/x:1", "oci:/a/b:docker.io/library/x:1"),
        (f"oci:/a/b@{SHA}", f"oci:/a/b@{SHA}"),
        ("oci:/a%3Ab:tag", "oci:/a%3Ab:tag"),
        ("oci-archive:x y.tar:1", "oci-archive:x y.tar:1"),
        ("rootfs:/a/root.tar.gz", "rootfs:/a/root.tar.gz"),
    ],
)
def test_full_form(text: str, full: str) -> None:
    reference = parse_reference(text)
    assert str(reference) == full
    assert parse_reference(full) == reference


def test_fields_of_a_registry_name() -> None:
    assert parse_reference(f"docker://r.example:5000/a/b:1@{SHA}") == Reference(
        "docker", "r.example:5000", "a/b", "1", Digest(SHA)
    )


def test_path_ends_at_its_first_colon_and_escaped_colons_belong_to_it() -> None:
    assert parse_reference("oci:/a/b:c/d").path == "/a/b"
    assert parse_reference("oci:/a%3Ab%253A%2x:c") == Reference("oci", tag="c", path="/a:b%3A%2x")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\0",
        "a" * 9000,
        "Python",
        "org/App",
        "a//b",
        "/absolute",
        "./relative",
        "../up",
        "-a",
        "a_",
        "a..b",
        "python:",
        "python:.tag",
        "python:" + "a" * 129,
        "python:tag:tag",
        "python@sha256:123",
        "python@sha256:" + "A1" * 32,
        "python@md5:" + "a1" * 16,
        "a1" * 32,
        "docker://",
        "docker://host.example/",
        "docker://ho_st.example/a",
        "docker://host.example:123456/a",
        "docker://host.example/" + "a" * 256,
        "docker://a/b?c",
        "docker://a/b c",
        "docker://a/b\n",
        "http://a.example/b",
        "docker-daemon:",
        "docker-daemon:sha256:123",
        "docker-archive:",
        "docker-archive::name",
        "docker-archive:f:Name",
        "oci:",
        "oci::tag",
        "oci:d:-tag",
        "rootfs:f:name",
        f"rootfs:f@{SHA}",
        "containerd:name",
    ],
)
def test_malformed_text_is_refused_with_a_remedy(text: str) -> None:
    with pytest.raises(ReferenceSyntaxError) as caught:
        parse_reference(text)
    assert caught.value.remedy


def test_password_written_as_in_a_url_is_not_repeated() -> None:
    with pytest.raises(ReferenceSyntaxError) as caught:
        parse_reference("docker://user:hunter2@r.example/app")
    assert "hunter2" not in f"{caught.value} {caught.value.remedy}"


def test_upper_case_repository_is_told_its_lower_case_name() -> None:
    with pytest.raises(ReferenceSyntaxError) as caught:
        parse_reference("r.example/Team/App")
    assert "team/app" in caught.value.remedy


def test_names_without_transport_are_never_read_as_transports() -> None:
    assert parse_name("oci:1").repository == "library/oci"


@pytest.mark.parametrize(
    ("text", "expected"),
    [("oci:x", True), ("docker://x", True), ("docker:27", False), ("oci", False), ("./x", False)],
)
def test_has_transport(text: str, expected: bool) -> None:
    assert has_transport(text) is expected
