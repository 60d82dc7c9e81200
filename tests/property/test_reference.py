"""References: the full form of whatever can be named parses back to the same."""

import contextlib

from hypothesis import given
from hypothesis import strategies as st

from layerproof.errors import ReferenceSyntaxError
from layerproof.model.digest import Digest
from layerproof.model.reference import Reference, parse_reference

components = st.from_regex(r"[a-z0-9]+((\.|_|__|-{1,3})[a-z0-9]+){0,2}", fullmatch=True)
repositories = st.lists(components, min_size=2, max_size=3).map("/".join)
hosts = st.from_regex(r"([a-z0-9]{1,5}\.[a-z]{2,3}|localhost)(:[0-9]{1,5})?", fullmatch=True)
tags = st.from_regex(r"\A[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}\Z").map(str.strip)
digests = st.binary(min_size=32, max_size=32).map(Digest.from_raw)
paths = st.text(min_size=1, max_size=30).filter(lambda text: "\0" not in text)
# Pieces that the escaping must tell apart.
odd_paths = st.lists(st.sampled_from(["%", "3A", "3a", "25", ":", "@", "/", "x"]), min_size=1).map(
    "".join
)
any_path = paths | odd_paths


def named(transport: str, path: st.SearchStrategy[str]) -> st.SearchStrategy[Reference]:
    with_tag = st.builds(
        Reference, st.just(transport), hosts, repositories, tags, st.none() | digests, path
    )
    with_digest = st.builds(
        Reference, st.just(transport), hosts, repositories, st.just(""), digests, path
    )
    return with_tag | with_digest


def located(transport: str) -> st.SearchStrategy[Reference]:
    names = st.just("") | tags
    return st.builds(
        Reference,
        st.just(transport),
        tag=names,
        digest=st.none() | digests,
        path=any_path,
    )


references = (
    named("docker", st.just(""))
    | named("docker-daemon", st.just(""))
    | st.builds(Reference, st.just("docker-daemon"), digest=digests)
    | named("docker-archive", any_path)
    | st.builds(Reference, st.just("docker-archive"), digest=st.none() | digests, path=any_path)
    | located("oci")
    | located("oci-archive")
    | st.builds(Reference, st.just("rootfs"), path=any_path)
)


@given(references)
def test_full_form_parses_back_to_the_same_reference(reference: Reference) -> None:
    assert parse_reference(str(reference)) == reference


@given(st.text() | st.from_regex(r"(oci|docker-archive|docker|rootfs)(:|://).*"))
def test_any_text_gives_a_reference_or_the_named_error(text: str) -> None:
    reference = None
    with contextlib.suppress(ReferenceSyntaxError):
        reference = parse_reference(text)
    assert reference is None or parse_reference(str(reference)) == reference
