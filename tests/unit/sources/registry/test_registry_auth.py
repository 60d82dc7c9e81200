"""Challenges and tokens: what is sent to whom."""

import asyncio
import base64
import contextlib
import json
from urllib.parse import parse_qs

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerproof.errors import AuthenticationError, ProtocolError, UnreachableError
from layerproof.sources.registry.auth import (
    Authorizer,
    Challenge,
    Document,
    Grant,
    parse_challenges,
)
from layerproof.sources.registry.credentials import Credential, FixedCredentials
from layerproof.sources.registry.names import endpoints
from layerproof.sources.registry.settings import RegistrySettings

# --- challenges ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("Basic", [("basic", {})]),
        ('Basic realm="a, b=\\"c\\""', [("basic", {"realm": 'a, b="c"'})]),
        (
            'Bearer realm="https://a/t",service="s",scope="repository:x:pull,push"',
            [
                (
                    "bearer",
                    {"realm": "https://a/t", "service": "s", "scope": "repository:x:pull,push"},
                )
            ],
        ),
        (
            # RFC 9110 section 11.6.1
            'Basic realm="simple", Newauth realm="apps", type=1, title="Login to \\"apps\\""',
            [
                ("basic", {"realm": "simple"}),
                ("newauth", {"realm": "apps", "type": "1", "title": 'Login to "apps"'}),
            ],
        ),
        ("Negotiate, BEARER Realm = x", [("negotiate", {}), ("bearer", {"realm": "x"})]),
        ("Negotiate YWJj==, Basic realm=x", [("negotiate", {}), ("basic", {"realm": "x"})]),
        (" , ,Basic realm=x, ,", [("basic", {"realm": "x"})]),
        ("", []),
    ],
)
def test_challenges_are_read_as_rfc_9110_writes_them(
    header: str, expected: list[tuple[str, dict[str, str]]]
) -> None:
    assert parse_challenges(header) == tuple(Challenge(*one) for one in expected)


@pytest.mark.parametrize(
    "header",
    [
        'Bearer realm="https://good",realm="https://evil"',
        'Bearer realm="https://good" realm2="x"',
        'Bearer realm="unclosed',
        '"Bearer"',
        'Bearer realm="a"b',
    ],
)
def test_ambiguous_challenge_is_refused(header: str) -> None:
    with pytest.raises(ProtocolError, match="WWW-Authenticate"):
        parse_challenges(header)


@given(st.text(st.sampled_from('Bb= ,"\\\tré;/'), max_size=60))
def test_any_header_is_read_or_refused(header: str) -> None:
    with contextlib.suppress(ProtocolError):
        parse_challenges(header)


@given(
    st.lists(
        st.tuples(
            st.from_regex(r"[a-zA-Z][a-zA-Z0-9-]{0,8}", fullmatch=True),
            st.dictionaries(
                st.from_regex(r"[a-z]{1,6}", fullmatch=True),
                st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), max_size=12),
                min_size=1,
                max_size=4,
            ),
        ),
        max_size=4,
    )
)
def test_what_is_written_as_quoted_strings_is_read_back(
    challenges: list[tuple[str, dict[str, str]]],
) -> None:
    def quote(text: str) -> str:
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

    header = ", ".join(
        f"{scheme} " + ", ".join(f"{k}={quote(v)}" for k, v in parameters.items())
        for scheme, parameters in challenges
    )
    assert parse_challenges(header) == tuple(Challenge(s.lower(), p) for s, p in challenges)


# --- tokens --------------------------------------------------------------------------------------

ALICE = Credential("alice", "s3cr3t")


class World:
    """A token service that answers all, and remembers; and a clock."""

    def __init__(
        self,
        credential: Credential | None = None,
        host: str = "r.example",
        settings: RegistrySettings | None = None,
        status: int = 200,
        answer: object = None,
    ) -> None:
        self.sent: list[httpx.Request] = []
        self.now = 1000.0
        self.status = status
        self.answer = {"token": "t0k3n"} if answer is None else answer
        self.grants: dict[tuple[str, str], Grant] = {}
        settings = settings or RegistrySettings()
        self.place = endpoints(host, "team/app", settings)[-1]
        self.authorizer = Authorizer(
            settings=settings,
            credentials=FixedCredentials({host: credential} if credential else {}),
            grants=self.grants,
            fetch=self.fetch,
            monotonic=lambda: self.now,
        )

    async def fetch(self, request: httpx.Request) -> Document:
        self.sent.append(request)
        body = self.answer if isinstance(self.answer, bytes) else json.dumps(self.answer).encode()
        return Document(self.status, httpx.Headers(), body)

    def challenge(self, *headers: str) -> str:
        return asyncio.run(self.authorizer.answer(self.place, headers))

    def realm(self, realm: str) -> str:
        return self.challenge(f'Bearer realm="{realm}",service="svc",scope="repository:other:push"')


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def test_token_is_fetched_with_the_login_for_our_own_scope_only() -> None:
    world = World(ALICE)
    assert world.realm("https://r.example/token?x=1") == "Bearer t0k3n"
    (request,) = world.sent
    assert request.method == "GET"
    assert request.headers["Authorization"] == basic("alice", "s3cr3t")
    assert dict(request.url.params) == {
        "x": "1",
        "service": "svc",
        "scope": "repository:team/app:pull",
    }


def test_token_service_on_another_port_of_the_same_host_is_its_own() -> None:
    world = World(ALICE, host="r.example:5000")
    assert world.realm("https://r.example:5001/auth") == "Bearer t0k3n"


@pytest.mark.parametrize(
    "realm",
    [
        "https://evil.example/token",
        "https://r.example.evil.example/token",
        "https://sub.r.example/token",
        "https://evil-r.example/",
        "https://r.example./token",
        "https://evil.example#@r.example/",
        "https://evil.example\\\\@r.example/",
    ],
)
def test_realm_on_a_foreign_host_gets_no_credentials(realm: str) -> None:
    world = World(ALICE)
    with pytest.raises(AuthenticationError) as caught:
        world.realm(realm)
    assert world.sent == []
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize(
    "realm",
    [
        "http://r.example/token",
        "http://evil.example/token",
        "https://user:pw@r.example/token",
        "ftp://r.example/",
        "//r.example/token",
        "/token",
        "https:///token",
        "file:///etc/passwd",
        "",
        "https://[::1/token",
    ],
)
@pytest.mark.parametrize("credential", [ALICE, None])
def test_realm_that_is_no_https_address_is_sent_nothing(
    realm: str, credential: Credential | None
) -> None:
    world = World(credential)
    with pytest.raises(AuthenticationError, match="nothing was sent"):
        world.realm(realm)
    assert world.sent == []


def test_foreign_realm_may_be_asked_anonymously() -> None:
    world = World(None)
    assert world.realm("https://tokens.example/") == "Bearer t0k3n"
    assert "Authorization" not in world.sent[0].headers


def test_realm_that_the_operator_allows_gets_the_credentials() -> None:
    for allowed in ("tokens.example", "tokens.example:8443"):
        settings = RegistrySettings(token_realms=frozenset({allowed}))
        world = World(ALICE, settings=settings)
        world.realm("https://tokens.example:8443/")
        assert world.sent[0].headers["Authorization"] == basic("alice", "s3cr3t")


def test_docker_hubs_token_service_is_known_for_docker_hub_only() -> None:
    World(ALICE, host="docker.io").realm("https://auth.docker.io/token")
    with pytest.raises(AuthenticationError, match=r"another host, auth\.docker\.io"):
        World(ALICE).realm("https://auth.docker.io/token")


def test_plain_http_realm_is_for_a_plain_http_registry_on_its_own_host_only() -> None:
    settings = RegistrySettings(insecure_hosts=frozenset({"r.example"}))
    world = World(ALICE, settings=settings)
    assert world.realm("http://r.example:5001/token") == "Bearer t0k3n"
    for credential in (ALICE, None):
        world = World(credential, settings=settings)
        with pytest.raises(AuthenticationError, match="plain HTTP"):
            world.realm("http://evil.example/token")
        assert world.sent == []


def test_identity_token_is_posted_as_oauth2() -> None:
    world = World(
        Credential("<token>", identity_token="refresh"), answer={"access_token": "acc3ss"}
    )
    assert world.realm("https://r.example/token") == "Bearer acc3ss"
    (request,) = world.sent
    assert request.method == "POST"
    assert "refresh" not in str(request.url)
    assert {k: v[0] for k, v in parse_qs(request.read().decode()).items()} == {
        "grant_type": "refresh_token",
        "refresh_token": "refresh",
        "service": "svc",
        "scope": "repository:team/app:pull",
        "client_id": "layerproof",
    }


def test_registry_token_is_used_as_it_is_and_shown_to_no_realm() -> None:
    world = World(Credential(registry_token="given"))
    assert world.realm("https://evil.example/token") == "Bearer given"
    assert world.sent == []


def test_bearer_is_preferred_and_basic_needs_no_token_service() -> None:
    world = World(ALICE)
    assert world.challenge('Basic realm="x"') == basic("alice", "s3cr3t")
    assert world.sent == []
    both = ('Basic realm="x"', 'Bearer realm="https://r.example/t"')
    assert world.challenge(*both) == "Bearer t0k3n"


def test_missing_login_is_told_with_the_remedy() -> None:
    with pytest.raises(AuthenticationError, match="none was found") as caught:
        World(None).challenge('Basic realm="x"')
    assert caught.value.remedy == "docker login r.example"


def test_unknown_scheme_is_told() -> None:
    with pytest.raises(AuthenticationError, match="negotiate"):
        World(ALICE).challenge("Negotiate abc")


def test_token_is_kept_until_shortly_before_its_end() -> None:
    world = World(ALICE, answer={"token": "t0k3n", "expires_in": 100})
    assert world.authorizer.known(world.place) == ""
    world.realm("https://r.example/token")
    world.now += 89
    assert world.authorizer.known(world.place) == "Bearer t0k3n"
    world.now += 2
    assert world.authorizer.known(world.place) == ""


def test_token_is_kept_per_registry_and_repository() -> None:
    world = World(ALICE)
    world.realm("https://r.example/token")
    for host, repository in (("r.example", "team/other"), ("s.example", "team/app")):
        other = endpoints(host, repository, RegistrySettings())[0]
        assert world.authorizer.known(other) == ""


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"not json",
        b"[" * 100_000,
        [],
        {},
        {"token": 1},
        {"token": "a b"},
        {"token": "a\r\nX: y"},
    ],
)
def test_token_service_that_answers_nonsense_is_refused(answer: object) -> None:
    world = World(ALICE, answer=answer)
    with pytest.raises(ProtocolError):
        world.realm("https://r.example/token")
    assert world.grants == {}


@pytest.mark.parametrize("life", [None, "x", True, -5, float("nan"), 1e300])
def test_odd_life_of_a_token_is_a_bounded_one(life: object) -> None:
    world = World(ALICE, answer={"token": "t", "expires_in": life})
    world.realm("https://r.example/token")
    (grant,) = world.grants.values()
    assert 1000 < grant.expires <= 1000 + 3600


@pytest.mark.parametrize(
    ("status", "family"),
    [
        (400, AuthenticationError),
        (401, AuthenticationError),
        (403, AuthenticationError),
        (404, AuthenticationError),
        (302, ProtocolError),
        (429, UnreachableError),
        (500, UnreachableError),
    ],
)
def test_refusal_of_the_token_service_never_repeats_the_login(status: int, family: type) -> None:
    said = f"you said s3cr3t and {basic('alice', 's3cr3t')}"
    answer = {"errors": [{"code": "X", "message": said}]}
    world = World(ALICE, status=status, answer=answer)
    with pytest.raises(family) as caught:
        world.realm("https://r.example/token")
    assert "you said *** and ***" in caught.value.message


def test_grants_do_not_show() -> None:
    assert "t0k3n" not in repr(Grant("Bearer t0k3n", 1.0))
