"""Logins by a real OpenID provider (oidc-provider-mock), and tokens that nobody should believe."""

import base64
import json
import time
import warnings
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from hmac import HMAC
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from layerproof.config import settings
from layerproof.engine.intake import Intake
from layerproof.model.access import Role
from layerproof.policy.defaults import DEFAULT_POLICY
from layerproof.server import oidc as module
from layerproof.server.app import make_app
from layerproof.server.metrics import Metrics
from layerproof.server.oidc import Provider, login_router, seal, unseal
from layerproof.server.problems import Problem
from layerproof.server.service import Service
from layerproof.service_config import Oidc, ServiceConfig
from layerproof.testing.index import MemoryIndex
from layerproof.testing.ledger import MemoryLedger
from layerproof.testing.queue import MemoryQueue
from layerproof.wiring import Stores, SystemClock

with warnings.catch_warnings():
    # because they warn of libraries that they use themselves
    warnings.simplefilter("ignore")
    import oidc_provider_mock
    from fastapi.testclient import TestClient
    from oidc_provider_mock import _app

# because the provider, which runs in this process, warns of libraries that it uses
pytestmark = pytest.mark.filterwarnings("ignore:get_jwt_config:DeprecationWarning")
CLIENT = "layerproof"
ROLES = {"admins": Role.ADMIN, "engineers": Role.VIEWER}
PEOPLE = {
    "anna": {"groups": ["engineers", "admins", "x"], "email": "anna@example.org",
             "email_verified": True},
    "ed": {"groups": "engineers", "email": "anna@example.org"},
    "nobody": {"groups": ["strangers"]},
}  # fmt: skip


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    people = [oidc_provider_mock.User(sub=name, claims=dict(c)) for name, c in PEOPLE.items()]
    with oidc_provider_mock.run_server_in_thread(user_claims=people) as server:
        yield f"http://localhost:{server.server_port}"


@pytest.fixture
def setting(issuer: str, tmp_path: Path) -> Oidc:
    secret = tmp_path / "secret"
    secret.write_text("client-secret\n")
    return Oidc(
        issuer=issuer,
        client_id=CLIENT,
        client_secret_file=secret,
        redirect_url="http://localhost/api/v1/login/callback",
        role_claim="groups",
        roles=ROLES,
    )


class World:
    def __init__(self, setting: Oidc, folder: Path, index: MemoryIndex | None = None) -> None:
        clock = SystemClock()
        self.index = index = index or MemoryIndex()
        self.ledger, queue = MemoryLedger(), MemoryQueue(clock)
        service = Service(
            settings=settings({"LAYERPROOF_INDEX": str(folder / "index.db")}),
            config=ServiceConfig(oidc=setting),
            stores=Stores(index, self.ledger, queue),
            intake=Intake(index, queue, clock),
            clock=clock,
            metrics=Metrics(),
            load_policy=lambda: DEFAULT_POLICY,
            load_advisories=lambda: None,
        )
        provider = Provider(setting, clock)
        self.app = make_app(
            service,
            verify_foreign=provider.verify,
            routers=(login_router(provider, service),),
        )


@pytest.fixture
def world(setting: Oidc, tmp_path: Path) -> World:
    return World(setting, tmp_path)


@pytest.fixture
def client(world: World) -> Iterator[TestClient]:
    with TestClient(world.app, "http://localhost", raise_server_exceptions=False) as found:
        yield found


def sent_back(client: TestClient, who: str) -> tuple[str, dict[str, str]]:
    """Begin a login and log in at the provider: where it sends the person back, with what."""
    begun = client.get("/api/v1/login", follow_redirects=False)
    assert begun.status_code == 303
    where = begun.headers["location"]
    answer = httpx.post(where, data={"sub": who}, follow_redirects=False)
    back = urlsplit(answer.headers["location"])
    query = {key: values[0] for key, values in parse_qs(back.query).items()}
    return back.path, query


def log_in(client: TestClient, who: str) -> httpx.Response:
    path, query = sent_back(client, who)
    answer: httpx.Response = client.get(path, params=query)
    return answer


def me(client: TestClient, token: str) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"}
    answer: httpx.Response = client.get("/api/v1/me", headers=headers)
    return answer


def test_a_login_without_a_client_secret_ends_in_another_process_than_it_began(
    setting: Oidc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The provider takes no public client by itself, though its library can (RFC 6749, section 2.1).
    monkeypatch.setattr(_app.AuthorizationCodeGrant, "TOKEN_ENDPOINT_AUTH_METHODS", ["none"])
    public = replace(setting, client_secret_file=None)
    one = World(public, tmp_path)
    other = World(public, tmp_path, one.index)
    elsewhere = World(public, tmp_path)  # another service
    answers = {}
    for name, world in (("other", other), ("elsewhere", elsewhere)):
        with (
            TestClient(one.app, "http://localhost") as begins,
            TestClient(world.app, "http://localhost", raise_server_exceptions=False) as ends,
        ):
            path, query = sent_back(begins, "anna")
            ends.cookies = begins.cookies
            answers[name] = ends.get(path, params=query)
    assert answers["other"].status_code == 200, answers["other"].text
    assert answers["elsewhere"].status_code == 401


def test_a_login_gives_a_token_of_the_highest_role_and_stands_in_the_audit(
    client: TestClient, world: World, issuer: str
) -> None:
    answer = log_in(client, "anna")
    assert answer.status_code == 200, answer.text
    assert answer.json()["role"] == "admin"
    token = answer.json()["token"]
    found = me(client, token)
    assert (found.status_code, found.json()["name"]) == (200, f"anna@example.org ({issuer})")
    (record,) = world.ledger.audit(9).items
    assert (record.action, record.actor) == ("login", f"anna@example.org ({issuer})")
    assert token not in repr(record)


def test_an_address_that_was_not_verified_names_nobody(client: TestClient, issuer: str) -> None:
    answer = log_in(client, "ed")
    assert answer.json()["name"] == f"ed ({issuer})"
    assert answer.json()["role"] == "viewer"
    headers = {"Authorization": f"Bearer {answer.json()['token']}"}
    assert client.get("/api/v1/tokens", headers=headers).status_code == 403


def test_without_a_role_nobody_gets_in(client: TestClient) -> None:
    answer = log_in(client, "nobody")
    assert (answer.status_code, answer.json()["code"]) == (403, "no-role")


def test_a_login_with_another_state_or_cookie_or_twice_fails(client: TestClient) -> None:
    path, query = sent_back(client, "anna")
    cookies = dict(client.cookies)
    wrong = client.get(path, params={**query, "state": "x" * 43})
    assert (wrong.status_code, wrong.json()["code"]) == (401, "login-failed")
    client.cookies.clear()
    assert client.get(path, params=query).status_code == 401
    name, value = next(iter(cookies.items()))
    body, _, mark = value.partition(".")
    for forged in ("", "x", f"{body}.", f"{body}.{mark[:-1]}0", f"{body}x.{mark}", "é.é"):
        headers = {"Cookie": f"{name}={forged}".encode()}
        answer = client.get(path, params=query, headers=headers)
        assert answer.status_code == 401, forged
    assert client.get(path, params=query, headers={"Cookie": f"{name}={value}"}).status_code == 200
    again = client.get(path, params=query, headers={"Cookie": f"{name}={value}"})
    assert again.status_code == 401  # the provider takes a code once


def test_a_code_of_another_login_does_not_fit_this_one(client: TestClient, world: World) -> None:
    """Login CSRF: somebody's code with my state has another nonce."""
    path, mine = sent_back(client, "anna")
    with TestClient(world.app, "http://localhost") as other:
        _, theirs = sent_back(other, "ed")
    answer = client.get(path, params={**mine, "code": theirs["code"]})
    assert answer.status_code in (401, 403)
    assert "token" not in answer.json()


def test_a_secret_that_is_empty_seals_no_cookie(client: TestClient, setting: Oidc) -> None:
    assert setting.client_secret_file is not None
    setting.client_secret_file.write_text("\n")
    answer = client.get("/api/v1/login", follow_redirects=False)
    assert (answer.status_code, answer.json()["code"]) == (503, "login-not-ready")


def test_cookies_of_another_key_are_not_opened() -> None:
    sealed = seal(["a", "b", "c", "9"], b"key")
    assert unseal(sealed, b"key") == ["a", "b", "c", "9"]
    assert unseal(sealed, b"other") is None


# --- tokens that were not given to us -----------------------------------------------------------


class Keys:
    """A provider of our own, whose key signs whatever a test wants."""

    def __init__(self, setting: Oidc, monkeypatch: pytest.MonkeyPatch) -> None:
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self.key.public_key()))
        self.documents: dict[str, Any] = {
            "/.well-known/openid-configuration": {
                "issuer": setting.issuer, "jwks_uri": f"{setting.issuer}/jwks",
            },
            "/jwks": {"keys": [{**public, "kid": "k", "use": "sig", "alg": "RS256"}]},
        }  # fmt: skip
        self.asked: list[str] = []
        self.down = False
        monkeypatch.setattr(module, "_get", self._get)
        self.now = datetime.now(UTC)
        self.provider = Provider(setting, Clock(self))

    def _get(self, url: str) -> Any:
        self.asked.append(url)
        if self.down:
            raise httpx.ConnectError("down")
        return self.documents[urlsplit(url).path]

    def token(self, key: Any = None, headers: Any = None, algorithm: str = "RS256",
              **changes: Any) -> str:  # fmt: skip
        now = int(time.time())
        claims = {
            "iss": self.provider.oidc.issuer, "aud": CLIENT, "sub": "anna", "iat": now,
            "exp": now + 600, "groups": ["admins"], **changes,
        }  # fmt: skip
        claims = {name: value for name, value in claims.items() if value is not None}
        given = {"kid": "k", **(headers or {})}
        return jwt.encode(claims, key or self.key, algorithm=algorithm, headers=given)


class Clock:
    """Time as the test has it."""

    def __init__(self, keys: Keys) -> None:
        self.keys = keys

    def now(self) -> datetime:
        return self.keys.now

    def monotonic(self) -> float:
        return 0.0


@pytest.fixture
def keys(setting: Oidc, monkeypatch: pytest.MonkeyPatch) -> Keys:
    return Keys(setting, monkeypatch)


def test_a_good_token_is_taken(keys: Keys) -> None:
    found = keys.provider.verify(keys.token())
    assert found is not None
    assert found.role is Role.ADMIN


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://evil.example"},
        {"aud": "other"},
        {"aud": []},
        {"aud": ["other", "another"]},
        {"aud": [CLIENT, "other"]},  # who asked for it is not said
        {"aud": [CLIENT, "other"], "azp": "other"},
        {"azp": "other"},
        {"exp": 1},
        {"exp": None},
        {"exp": 10**30},
        {"exp": "never"},
        {"iat": 10**11},
        {"nbf": 10**11},
        {"sub": None},
        {"sub": ""},
        {"groups": None},
        {"groups": ["strangers"]},
        {"groups": {"admins": 1}},
        {"groups": [["admins"], 7, None]},
        {"groups": "admins "},
    ],
)
def test_a_token_that_is_not_for_us_or_not_now_is_refused(keys: Keys, changes: Any) -> None:
    assert keys.provider.verify(keys.token(**changes)) is None


def test_a_token_for_several_says_that_we_asked_for_it(keys: Keys) -> None:
    assert keys.provider.verify(keys.token(aud=[CLIENT, "other"], azp=CLIENT)) is not None


def test_a_signature_by_another_key_or_by_none_is_refused(keys: Keys) -> None:
    good = keys.token()
    header, body, signature = good.split(".")

    def encoded(document: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(document).encode()).decode().rstrip("=")

    unsigned = encoded({"alg": "none", "kid": "k"})
    public = jwt.algorithms.RSAAlgorithm.to_jwk(keys.key.public_key())
    symmetric = f"{encoded({'alg': 'HS256', 'kid': 'k'})}.{body}"
    mark = base64.urlsafe_b64encode(HMAC(public.encode(), symmetric.encode(), sha256).digest())
    nested = base64.urlsafe_b64encode(b"[" * 9000).decode().rstrip("=")
    for token in (
        keys.token(key=keys.other),
        keys.token(headers={"kid": "unknown"}),
        f"{unsigned}.{body}.",
        f"{encoded({'alg': 'None', 'kid': 'k'})}.{body}.",
        f"{symmetric}.{mark.decode().rstrip('=')}",
        f"{encoded({'alg': 'ES256', 'kid': 'k'})}.{body}.{signature}",
        f"{header}.{body}.{signature[:-8]}AAAAAAAA",
        f"{header}.{body}",
        f"{nested}.{body}.{signature}",
        f"{header}.{nested}.{signature}",
        f"{encoded({'alg': 'RS256', 'kid': ['k']})}.{body}.{signature}",
        "..",
        "é.é.é",
        "x" * 20_000,
    ):
        assert keys.provider.verify(token) is None, token[:80]


def test_the_nonce_must_be_that_of_the_login(keys: Keys) -> None:
    token = keys.token(nonce="mine")
    assert keys.provider.claims(token, "mine") is not None
    assert keys.provider.claims(token, "yours") is None
    assert keys.provider.claims(keys.token(), "mine") is None


def test_made_up_tokens_do_not_make_us_ask_the_provider_without_end(keys: Keys) -> None:
    for number in range(50):
        assert keys.provider.verify(keys.token(headers={"kid": f"made-up-{number}"})) is None
    assert len(keys.asked) == 2  # one look: discovery and keys
    keys.now += timedelta(seconds=11)
    keys.provider.verify(keys.token(headers={"kid": "made-up"}))
    assert len(keys.asked) == 4


def test_a_provider_that_is_away_is_not_asked_by_everybody_and_keys_last_a_day(keys: Keys) -> None:
    good = keys.token(exp=int(time.time()) + 10**6)
    assert keys.provider.verify(good) is not None
    keys.down = True
    keys.now += timedelta(hours=2)
    asked = len(keys.asked)
    for _ in range(20):
        assert keys.provider.verify(good) is not None
    assert len(keys.asked) == asked + 1
    keys.now += timedelta(hours=23)
    for _ in range(20):
        with pytest.raises(Problem) as caught:
            keys.provider.verify(good)
        assert caught.value.status in (502, 503)
    assert len(keys.asked) == asked + 2


def test_a_discovery_document_of_another_issuer_is_not_believed(keys: Keys) -> None:
    keys.documents["/.well-known/openid-configuration"]["issuer"] = "https://evil.example"
    with pytest.raises(Problem):
        keys.provider.verify(keys.token())


def test_an_issuer_that_ends_with_a_slash_is_the_one_in_its_tokens(
    keys: Keys, setting: Oidc
) -> None:
    keys.documents["/.well-known/openid-configuration"]["issuer"] = f"{setting.issuer}/"
    assert keys.provider.verify(keys.token(iss=f"{setting.issuer}/")) is not None
    assert keys.provider.verify(keys.token(iss=setting.issuer)) is None


def test_a_name_with_control_characters_stays_on_its_line(keys: Keys, setting: Oidc) -> None:
    found = keys.provider.principal({"sub": "a\nb\x1b[2J", "exp": 9**9, "groups": "admins"})
    assert found is not None
    assert found.name.isprintable()
