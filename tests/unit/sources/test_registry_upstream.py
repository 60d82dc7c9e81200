"""The registry behind the gateway, and the tags of a gate: whom clients are told to trust, and how
often a registry is asked."""

import asyncio
import base64
from collections.abc import Callable

import httpx
import pytest

from layerproof.errors import AuthenticationError, UnreachableError
from layerproof.model.digest import Digest
from layerproof.model.reference import parse_name
from layerproof.oci.limits import Limits
from layerproof.sources.registry.credentials import Credential, FixedCredentials, NoCredentials
from layerproof.sources.registry.settings import RegistrySettings, Retry, Timeouts
from layerproof.sources.registry.tags import TagResolver
from layerproof.sources.registry.upstream import RegistryUpstream

HOST = "registry.example"
SETTINGS = RegistrySettings(timeouts=Timeouts(1, 1, 1), retry=Retry(attempts=1))
Answer = Callable[[httpx.Request], httpx.Response]


class Transport(httpx.AsyncBaseTransport):
    """Answers, and what was asked."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.requests: list[httpx.Request] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        said = self._answer(request)
        stream = httpx.ByteStream(said.content)  # unread, as from a socket
        return httpx.Response(said.status_code, headers=said.headers, stream=stream)


def upstream(
    answer: Answer, *, passing: bool = True, settings: RegistrySettings = SETTINGS
) -> tuple[RegistryUpstream, Transport]:
    transport = Transport(answer)
    found = RegistryUpstream(
        HOST,
        limits=Limits(),
        credentials=FixedCredentials({HOST: Credential(username="gate", password="own")}),
        settings=settings,
        passing=passing,
    )
    found._transport = transport  # type: ignore[assignment]  # in place of sockets
    return found, transport


def challenging(header: str) -> Answer:
    return lambda _: httpx.Response(401, headers={"WWW-Authenticate": header})


def challenge(header: str, settings: RegistrySettings = SETTINGS) -> str:
    found, _ = upstream(challenging(header), settings=settings)
    return asyncio.run(found.challenge("team/app", ""))


def test_a_client_is_told_the_registrys_own_realm_and_a_scope_of_ours() -> None:
    told = challenge(
        f'Bearer realm="https://{HOST}/token",service="s",scope="repository:evil:push"'
    )
    assert (
        told == f'Bearer realm="https://{HOST}/token",service="s",scope="repository:team/app:pull"'
    )


@pytest.mark.parametrize(
    "realm",
    ["https://evil.example/token", "http://registry.example/token", "https://u:p@evil.example/",
     f"https://{HOST}.evil.example/token", "javascript:x", ""],
)  # fmt: skip
def test_cve_2025_27403_clients_are_never_sent_to_a_realm_of_anothers_choice(realm: str) -> None:
    with pytest.raises(AuthenticationError):
        challenge(f'Bearer realm="{realm}",service="s"')


def test_cve_2026_48978_a_realm_elsewhere_needs_the_operators_word() -> None:
    allowed = RegistrySettings(token_realms=frozenset({"auth.example"}))
    header = 'Bearer realm="https://auth.example/token",service="s"'
    assert "auth.example" in challenge(header, allowed)
    with pytest.raises(AuthenticationError):
        challenge(header)


def test_a_challenge_cannot_bring_headers_along() -> None:
    assert challenge('Basic realm="x\\"y"') == f'Basic realm="{HOST}"'


def test_with_its_own_login_the_gateway_challenges_nobody_and_uses_no_header_of_a_client() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if "Authorization" not in request.headers:
            return httpx.Response(401, headers={"WWW-Authenticate": "Basic realm=x"})
        return httpx.Response(200, content=b"{}", headers={"Content-Type": "application/json"})

    found, transport = upstream(answer, passing=False)
    assert asyncio.run(found.challenge("a", "")) == ""
    asyncio.run(found.listing("a", "tags/list", "Bearer of-a-client"))
    sent = {request.headers.get("Authorization", "") for request in transport.requests}
    assert sent == {"", "Basic " + base64.b64encode(b"gate:own").decode()}
    assert found.identity("Bearer of-a-client") == ""


def test_what_was_granted_to_one_client_is_not_used_for_another() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        good = "Basic " + base64.b64encode(b"alice:one").decode()
        if request.headers.get("Authorization") != good:
            return httpx.Response(401, headers={"WWW-Authenticate": "Basic realm=x"})
        return httpx.Response(200, content=b"{}")

    found, transport = upstream(answer)
    alice = "Basic " + base64.b64encode(b"alice:one").decode()
    mallory = "Basic " + base64.b64encode(b"mallory:two").decode()
    asyncio.run(found.listing("a", "tags/list", alice))
    for other in (mallory, ""):
        count = len(transport.requests)
        with pytest.raises(AuthenticationError):
            asyncio.run(found.listing("a", "tags/list", other))
        assert all(
            request.headers.get("Authorization") != alice for request in transport.requests[count:]
        )
    assert len({found.identity(text) for text in (alice, mallory, "")}) == 3
    assert "one" not in found.identity(alice)


@pytest.mark.parametrize("header", ["Basic !!!", "Basic " + "eA==", "Digest x", "Bearer "])
def test_a_header_that_is_none_is_refused_before_anything_is_sent(header: str) -> None:
    found, transport = upstream(lambda _: httpx.Response(200))
    with pytest.raises(AuthenticationError):
        asyncio.run(found.listing("a", "tags/list", header))
    assert transport.requests == []


# --- tags ----------------------------------------------------------------------------------------


def resolver(answer: Answer, seconds: float = 60.0) -> tuple[TagResolver, Transport]:
    found = TagResolver(
        limits=Limits(), credentials=NoCredentials(), settings=SETTINGS, seconds=seconds
    )
    transport = Transport(answer)
    found._exchange._transport = transport  # in place of sockets
    return found, transport


MANIFEST = b'{"schemaVersion": 2}'
REFERENCE = parse_name(f"{HOST}/team/app:1")


def delivering(_: httpx.Request) -> httpx.Response:
    return httpx.Response(200, content=MANIFEST)


def test_a_digest_is_computed_from_the_bytes() -> None:
    found, _ = resolver(delivering)
    assert asyncio.run(found.digest_of(REFERENCE)) == Digest.of(MANIFEST)


def test_cve_2023_47630_a_digest_that_a_header_claims_is_not_believed() -> None:
    lying = {"Docker-Content-Digest": str(Digest.of(b"another"))}
    found, _ = resolver(lambda _: httpx.Response(200, content=MANIFEST, headers=lying))
    with pytest.raises(Exception, match="delivered"):
        asyncio.run(found.digest_of(REFERENCE))


def test_a_tag_is_looked_up_once_however_many_ask() -> None:
    found, transport = resolver(delivering)

    async def many() -> None:
        await asyncio.gather(*(found.digest_of(REFERENCE) for _ in range(50)))
        await found.digest_of(REFERENCE)

    asyncio.run(many())
    assert len(transport.requests) == 1


def test_what_is_remembered_ends() -> None:
    found, transport = resolver(delivering, seconds=0.0)

    async def twice() -> None:
        await found.digest_of(REFERENCE)
        await asyncio.sleep(0.01)
        await found.digest_of(REFERENCE)

    asyncio.run(twice())
    assert len(transport.requests) == 2


def test_a_failure_is_remembered_for_a_moment_only_and_told_to_all() -> None:
    found, transport = resolver(lambda _: httpx.Response(503))

    async def many() -> list[object]:
        asking = (found.digest_of(REFERENCE) for _ in range(20))
        return list(await asyncio.gather(*asking, return_exceptions=True))

    assert all(isinstance(error, UnreachableError) for error in asyncio.run(many()))
    assert len(transport.requests) == 1
