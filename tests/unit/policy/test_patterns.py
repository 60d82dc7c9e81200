"""Image patterns: anchored at both ends, with a registry; nothing that only looks alike."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.rules.facts_builder import make_image

from layerproof.errors import PolicyError
from layerproof.policy.patterns import ImagePattern, check_pattern

APP = "docker://registry.example/team/app:1.4"


def matches(pattern: str, reference: str = APP) -> bool:
    check_pattern(pattern)
    return ImagePattern(pattern).matches(make_image("os", reference=reference))


@pytest.mark.parametrize(
    "pattern",
    [
        "docker://registry.example/team/app:1.4",
        "registry.example/team/app",
        "registry.example/team/app:1.*",
        "registry.example/team/app:*",
        "registry.example/*/app",
        "registry.example/team/a*",
        "registry.example/**",
        "registry.example/**/app",
        "registry.example/team/**/app",
    ],
)
def test_pattern_matches_the_image_that_it_means(pattern: str) -> None:
    assert matches(pattern)


@pytest.mark.parametrize(
    ("pattern", "reference"),
    [
        ("registry.example/team/app", "docker://registry.example/team/app2:1"),
        ("registry.example/team/app", "docker://registry.example/team/app/x:1"),
        ("registry.example/team/app", "docker://registry.example/x/team/app:1"),
        ("registry.example/team/app", "docker://evil.registry.example/team/app:1"),
        ("registry.example/team/app", "docker://registry.example.evil/team/app:1"),
        ("registry.example/team/app", "docker://registry.example:5000/team/app:1"),
        ("registry.example/team/*", "docker://registry.example/team/a/b:1"),
        ("registry.example/*", "docker://registry.example/team/app:1"),
        ("registry.example/team/app:1.*", "docker://registry.example/team/app:2.0"),
        ("registry.example/team/app:1", "docker://registry.example/team/app:1.4"),
        ("*.example.com/app", "docker://example.com/app:1"),
        ("*.example.com/app", "docker://evilexample.com/app:1"),
        ("*.example.com/app", "docker://a.example.com.evil.net/app:1"),
        ("docker.io/**", "oci:/docker.io/x:1"),
        # the tag beside a digest is whatever somebody wrote there
        ("registry.example/app:1.*", "docker://registry.example/app:1.0@sha256:" + "a" * 64),
        ("registry.example/app:*", "docker://registry.example/app@sha256:" + "a" * 64),
        ("localhost/team/app", "docker-daemon:localhost/team/app:1"),
    ],
)
def test_pattern_matches_no_name_that_only_looks_alike(pattern: str, reference: str) -> None:
    assert not matches(pattern, reference)


def test_hosts_below_a_domain() -> None:
    assert matches("*.example.com/app", "docker://a.b.example.com/app:1")
    assert matches("*.example.com:5000/app", "docker://a.example.com:5000/app:1")


def test_names_of_docker_hub_are_read_as_docker_reads_them() -> None:
    assert matches("docker.io/python", "docker://docker.io/library/python:3.12")
    assert matches("docker.io/library/python:3.*", "docker://python:3.12")
    assert matches("docker.io/**", "docker://python")
    assert not matches("docker.io/python", "docker://docker.io/evil/python:3.12")


def test_digest_of_manifest_or_config() -> None:
    image = make_image("os")
    for digest in (image.manifest_digest, image.config_digest):
        assert ImagePattern(str(digest)).matches(image)
        assert ImagePattern(f"registry.example/app@{digest}").matches(image)
    other = "sha256:" + "0" * 64
    assert not ImagePattern(other).matches(image)
    assert not ImagePattern(f"registry.example/app@{other}").matches(image)
    assert not ImagePattern(f"registry.example/x@{image.config_digest}").matches(image)
    assert not ImagePattern("registry.example/**").matches(replace(image, reference=other))


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("", "is empty"),
        ("*", "names no registry"),
        ("**", "names no registry"),
        ("python", "names no registry"),
        ("team/app", "names no registry"),
        ("*/app", "a registry that is none"),
        ("**/app", "a registry that is none"),
        ("registry.example*/app", "a registry that is none"),
        ("registry.*/app", "a registry that is none"),
        ("*.com/app", "a registry that is none"),
        ("registry.example/a**", "inside a segment"),
        ("registry.example/App", "a repository that is none"),
        ("registry.example/", "a repository that is none"),
        ("registry.example//a", "a repository that is none"),
        ("registry.example/a/../b", "a repository that is none"),
        ("registry.example/[ab]", "a repository that is none"),
        ("registry.example/a:1/2", "a repository that is none"),
        ("registry.example/a:**", "uses \\*\\* in a tag"),
        ("registry.example/a:[1]", "a tag that is none"),
        ("registry.example/a@sha256:12", "a digest that is none"),
        ("index.docker.io/library/python", "names index.docker.io"),
        ("oci:dir", "does not name an image in a registry"),
        ("https://registry.example/a", "."),
        ("registry.example/" + "a" * 600, "too long"),
    ],
)
def test_what_is_no_pattern_is_refused_with_what_to_write(pattern: str, message: str) -> None:
    with pytest.raises(PolicyError, match=message) as caught:
        check_pattern(pattern)
    assert caught.value.remedy


@given(text=st.text(alphabet="ab.*/:@-", max_size=40) | st.text(max_size=20))
def test_any_text_is_refused_or_can_be_matched(text: str) -> None:
    try:
        check_pattern(text)
    except PolicyError:
        return
    ImagePattern(text).matches(make_image("os", reference=APP))
