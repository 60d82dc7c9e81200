"""What the gateway serves and what it does not: bytes and requests in, answers out, no sockets."""

import asyncio
import hashlib
import json
import random
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from layerproof.engine import gate
from layerproof.errors import AuthenticationError, ImageNotFoundError, UnreachableError
from layerproof.gates.registry.app import App
from layerproof.gates.registry.cache import BlobCache
from layerproof.gates.registry.gateway import Gateway
from layerproof.model.digest import Digest
from layerproof.model.facts import Context
from layerproof.model.gate import Answer, Cause, Mode, Question
from layerproof.model.image import Descriptor
from layerproof.model.verdict import Decision, Trust
from layerproof.oci.limits import Limits
from layerproof.oci.manifest import verify_digest
from layerproof.policy.defaults import DEFAULT_POLICY
from layerproof.testing.images import BuiltImage, build, index

HOST = "registry.example"
GOOD = build([{"etc/motd": "hello\n", "bin/app": random.Random(7).randbytes(700_000)}])
EVIL = build([{"tmp/miner": "#!/bin/sh\n"}])
OCI = "application/vnd.oci.image.manifest.v1+json"


@dataclass(frozen=True)
class Stored:
    data: bytes
    media_type: str
    digest: Digest
    link: str = ""


def stored(data: bytes, media_type: str = OCI) -> Stored:
    return Stored(data, media_type, Digest.of(data))


@dataclass
class World:
    """A registry, what the index says, and a gateway between them and a client."""

    mode: Mode = Mode.ENFORCE
    manifests: dict[tuple[str, str], Stored] = field(default_factory=dict)
    blobs: dict[Digest, bytes] = field(default_factory=dict)
    trusted: set[Digest] = field(default_factory=set)
    passwords: set[str] = field(default_factory=set)  # headers that the registry takes; none: all
    indexed: list[tuple[str, Digest, Digest, Descriptor | None]] = field(default_factory=list)
    down: bool = False
    realm: str = 'Bearer realm="https://registry.example/token"'
    questions: list[str] = field(default_factory=list)
    asked: list[tuple[str, str]] = field(default_factory=list)
    noted: list[Answer] = field(default_factory=list)
    now: float = 0.0
    cache: BlobCache | None = None

    def __post_init__(self) -> None:
        for name, image in (("good", GOOD), ("evil", EVIL)):
            self.put(f"team/{name}", image, "1")
        self.trusted.add(GOOD.manifest_digest)
        decider, upstream = _Decider(self), _Upstream(self)
        gateway = Gateway(decider, upstream, _Known(self), Limits(), lambda: self.now)
        self.app = App(gateway, upstream, cache=self.cache)

    def put(self, name: str, image: BuiltImage, tag: str) -> None:
        found = Stored(image.manifest, image.manifest_media_type, image.manifest_digest)
        self.manifests[name, tag] = self.manifests[name, str(found.digest)] = found
        self.blobs |= image.blobs

    def put_document(self, name: str, tag: str, document: Any, media_type: str = OCI) -> Stored:
        data = document if isinstance(document, bytes) else json.dumps(document).encode()
        found = stored(data, media_type)
        self.manifests[name, tag] = self.manifests[name, str(found.digest)] = found
        return found

    def ask(self, path: str, method: str = "GET", **headers: str) -> "Reply":
        reply = Reply()
        raw, _, query = path.partition("?")

        async def receive() -> dict[str, Any]:
            if reply.given:
                await asyncio.sleep(60)
            reply.given = True
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                reply.status = message["status"]
                reply.headers = {k.decode(): v.decode() for k, v in message["headers"]}
            else:
                reply.body += message.get("body", b"")
                reply.ended = not message.get("more_body", False)

        scope = {
            "type": "http", "method": method, "path": raw, "raw_path": raw.encode(),
            "query_string": query.encode(), "http_version": "1.1", "scheme": "http",
            "headers": [(k.encode(), v.encode()) for k, v in headers.items()],
            "server": ("gateway", 80), "client": ("c", 1), "root_path": "",
        }  # fmt: skip
        asyncio.run(self.app(scope, receive, send))
        return reply

    def get(self, path: str, **headers: str) -> "Reply":
        return self.ask(f"/v2/{path}", **headers)

    def denied(self, path: str) -> str:
        """The message; it must be denied."""
        reply = self.get(path)
        assert reply.status == 403, (path, reply.status, reply.body[:200])
        error = json.loads(reply.body)["errors"][0]
        assert error["code"] == "DENIED"
        return str(error["message"])


@dataclass
class Reply:
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    ended: bool = False
    given: bool = False


class _Decider:
    def __init__(self, world: World) -> None:
        self._world = world
        self._policy = replace(DEFAULT_POLICY, mode=world.mode)

    async def ask(self, question: Question) -> Answer:
        (name,) = question.names
        self._world.questions.append(name)
        digest = Digest.parse(name.partition("@")[2])
        known = {GOOD.manifest_digest, EVIL.manifest_digest} | self._world.trusted
        if digest not in known:
            return gate.unknown(self._policy, name, question.context, "index it")
        good = digest in self._world.trusted
        decided = Decision.ADMIT if good else Decision.REFUSE
        mode = self._world.mode
        return Answer(
            gate.with_mode(decided, mode), decided, mode, Cause.VERDICT,
            "" if good else "layer 0 foreign-executable", reference=name,
            verdict=Trust.TRUSTED if good else Trust.UNTRUSTED,
        )  # fmt: skip

    def unavailable(self, context: Context, reference: str, reason: str, remedy: str) -> Answer:
        return gate.unavailable(self._policy, reference, context, reason, remedy)

    def forbid(self, context: Context, reason: str, remedy: str, reference: str = "") -> Answer:
        return gate.forbidden(self._policy, context, reason, remedy, reference)

    def call(self, context: Context, kind: str, default: Decision, reason: str) -> Answer:
        raise NotImplementedError

    def note(self, context: Context, answer: Answer) -> None:
        self._world.noted.append(answer)


class _Upstream:
    def __init__(self, world: World) -> None:
        self._world = world

    host = HOST

    def identity(self, authorization: str) -> str:
        return hashlib.sha256(authorization.encode()).hexdigest()

    async def manifest(self, name: str, reference: str, authorization: str) -> Stored:
        self._check(name, reference, authorization)
        found = self._world.manifests.get((name, reference))
        if found is None:
            raise ImageNotFoundError("the registry has no such image", where=name)
        if ":" in reference:
            verify_digest(found.data, Digest(reference), where=name)
        return found

    async def listing(self, name: str, path: str, authorization: str) -> Stored:
        self._check(name, path, authorization)
        return stored(json.dumps({"asked": path}).encode(), "application/json")

    async def blob(
        self, name: str, blob: Descriptor, authorization: str
    ) -> AsyncGenerator[bytes, None]:
        self._check(name, str(blob.digest), authorization)
        data = self._world.blobs[blob.digest]
        for start in range(0, len(data), 100_000):
            yield data[start : start + 100_000]

    async def small_blob(self, name: str, digest: Digest, authorization: str) -> bytes:
        self._check(name, str(digest), authorization)
        return self._world.blobs[digest]

    async def may_read(self, name: str, authorization: str) -> None:
        self._check(name, "may read", authorization)

    async def challenge(self, name: str, authorization: str) -> str:
        world = self._world
        return world.realm if world.passwords and authorization not in world.passwords else ""

    def _check(self, name: str, what: str, authorization: str) -> None:
        world = self._world
        world.asked.append((name, what))
        if world.down:
            raise UnreachableError("no route to host", where=HOST)
        if world.passwords and authorization not in world.passwords:
            raise AuthenticationError("denied", where=HOST)


class _Known:
    def __init__(self, world: World) -> None:
        self._world = world

    async def holders(self, name: str, blob: Digest) -> Sequence[tuple[Digest, Descriptor | None]]:
        found = self._world.indexed
        return [(m, d) for n, m, b, d in found if (n, b) == (name, blob)]


# --- images --------------------------------------------------------------------------------------


def test_an_admitted_image_is_served_byte_for_byte() -> None:
    world = World()
    reply = world.get("team/good/manifests/1")
    assert (reply.status, reply.body) == (200, GOOD.manifest)
    assert reply.headers["docker-content-digest"] == GOOD.manifest_digest
    assert world.questions == [f"docker://{HOST}/team/good@{GOOD.manifest_digest}"]
    for digest, data in GOOD.blobs.items():
        assert world.get(f"team/good/blobs/{digest}").body == data


@pytest.mark.parametrize("reference", ["1", str(EVIL.manifest_digest)])
def test_a_refused_image_is_denied_with_the_reason(reference: str) -> None:
    world = World()
    assert "foreign-executable" in world.denied(f"team/evil/manifests/{reference}")
    assert [answer.decided for answer in world.noted] == [Decision.REFUSE]


def test_blobs_of_a_refused_image_are_denied_in_every_repository() -> None:
    world = World()
    world.denied("team/evil/manifests/1")
    world.get("team/good/manifests/1")
    for digest in EVIL.blobs:
        for name in ("team/evil", "team/good", "other"):
            world.denied(f"{name}/blobs/{digest}")


def test_a_blob_of_an_admitted_image_is_denied_before_its_manifest_and_elsewhere() -> None:
    world = World()
    digest = next(iter(GOOD.blobs))
    world.denied(f"team/good/blobs/{digest}")
    world.get("team/good/manifests/1")
    assert world.get(f"team/good/blobs/{digest}").status == 200
    world.denied(f"team/other/blobs/{digest}")


def test_a_blob_ends_with_the_trust_in_its_image() -> None:
    world = World()
    world.get("team/good/manifests/1")
    digest = next(iter(GOOD.blobs))
    assert world.get(f"team/good/blobs/{digest}").status == 200
    world.trusted.clear()
    assert "foreign-executable" in world.denied(f"team/good/blobs/{digest}")


def test_after_a_restart_the_index_tells_which_images_have_a_blob() -> None:
    world = World()
    layer = GOOD.layers[0]
    digest = Digest.of(layer.blob)
    blob = Descriptor("application/vnd.oci.image.layer.v1.tar+gzip", digest, len(layer.blob))
    world.indexed = [
        ("team/good", GOOD.manifest_digest, digest, blob),
        ("team/evil", EVIL.manifest_digest, Digest.of(EVIL.layers[0].blob), blob),
    ]
    assert world.get(f"team/good/blobs/{digest}").body == layer.blob
    world.denied(f"team/evil/blobs/{Digest.of(EVIL.layers[0].blob)}")


def test_cve_2022_47633_a_tag_goes_on_to_name_what_was_judged() -> None:
    world = World()
    assert world.get("team/good/manifests/1").body == GOOD.manifest
    world.put("team/good", EVIL, "1")
    assert world.get("team/good/manifests/1").body == GOOD.manifest
    world.now += 31
    world.denied("team/good/manifests/1")


def test_cve_2023_47630_what_is_judged_are_the_bytes_that_are_served() -> None:
    world = World()
    forged = Stored(EVIL.manifest, OCI, EVIL.manifest_digest)
    world.manifests["team/good", str(GOOD.manifest_digest)] = forged
    reply = world.get(f"team/good/manifests/{GOOD.manifest_digest}")
    assert reply.status in (403, 502)
    assert EVIL.manifest not in reply.body


def test_an_index_is_served_and_each_of_its_manifests_judged() -> None:
    world = World()
    both = index(GOOD, EVIL)
    world.put_document("team/list", "1", both.manifest, both.manifest_media_type)
    for image in (GOOD, EVIL):
        world.put("team/list", image, str(image.manifest_digest))
    assert world.get("team/list/manifests/1").body == both.manifest
    assert world.get(f"team/list/manifests/{GOOD.manifest_digest}").status == 200
    world.denied(f"team/list/manifests/{EVIL.manifest_digest}")


# --- documents that are not what they seem --------------------------------------------------------


def test_ghsa_qq97_a_document_with_layers_and_manifests_is_denied() -> None:
    world = World()
    document = json.loads(GOOD.manifest) | {"manifests": []}
    found = world.put_document("team/good", "both", document)
    world.trusted.add(found.digest)
    assert "corrupt" in world.denied("team/good/manifests/both")


def test_a_manifest_with_a_key_twice_is_denied() -> None:
    world = World()
    text = GOOD.manifest.replace(b'"schemaVersion"', b'"schemaVersion": 2, "schemaVersion"', 1)
    world.trusted.add(world.put_document("team/good", "twice", text).digest)
    world.denied("team/good/manifests/twice")


def test_a_manifest_that_is_delivered_as_an_index_is_denied() -> None:
    world = World()
    media_type = "application/vnd.oci.image.index.v1+json"
    world.put_document("team/evil", "x", EVIL.manifest, media_type)
    world.denied("team/evil/manifests/x")


def test_schema_1_is_denied() -> None:
    world = World()
    document = {"schemaVersion": 1, "name": "x", "fsLayers": [{"blobSum": "sha256:" + "0" * 64}]}
    media_type = "application/vnd.docker.distribution.manifest.v1+prettyjws"
    world.put_document("team/evil", "old", document, media_type)
    world.denied("team/evil/manifests/old")


# --- artifacts -----------------------------------------------------------------------------------


def artifact(**more: Any) -> dict[str, Any]:
    payload = b"signature"
    return {
        "schemaVersion": 2,
        "mediaType": OCI,
        "artifactType": "application/vnd.example.signature",
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "size": 2,
                   "digest": str(Digest.of(b"{}"))},
        "layers": [{"mediaType": "application/vnd.example.signature", "size": len(payload),
                    "digest": str(Digest.of(payload))}],
        **more,
    }  # fmt: skip


def of(image: BuiltImage) -> dict[str, Any]:
    return {"subject": {"mediaType": OCI, "digest": str(image.manifest_digest), "size": 1}}


def test_an_artifact_is_served_with_the_image_that_it_belongs_to() -> None:
    world = World()
    world.blobs[Digest.of(b"signature")] = b"signature"
    world.put_document("team/good", "sig", artifact(**of(GOOD)))
    assert world.get("team/good/manifests/sig").status == 200
    assert world.get(f"team/good/blobs/{Digest.of(b'signature')}").body == b"signature"


def test_an_artifact_of_a_refused_image_is_denied() -> None:
    world = World()
    world.put_document("team/evil", "sig", artifact(**of(EVIL)))
    world.denied("team/evil/manifests/sig")


def test_an_artifact_that_belongs_to_nothing_is_denied() -> None:
    world = World()
    world.put_document("team/good", "free", artifact())
    assert "belongs to no image" in world.denied("team/good/manifests/free")


def test_cosigns_tag_says_what_a_signature_belongs_to() -> None:
    world = World()
    for image, name in ((GOOD, "team/good"), (EVIL, "team/evil")):
        world.put_document(name, f"sha256-{image.manifest_digest.hex}.sig", artifact())
    tag = f"sha256-{GOOD.manifest_digest.hex}.sig"
    assert world.get(f"team/good/manifests/{tag}").status == 200
    world.denied(f"team/evil/manifests/sha256-{EVIL.manifest_digest.hex}.sig")


def test_layers_that_can_be_run_make_no_artifact_whatever_its_config_is() -> None:
    world = World()
    document = json.loads(EVIL.manifest)
    document["config"]["mediaType"] = "application/vnd.example.config"
    world.put_document("team/good", "dressed", document | of(GOOD))
    assert "can be run" in world.denied("team/good/manifests/dressed")


# --- requests ------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_whatever_would_change_the_registry_is_refused(method: str) -> None:
    world = World()
    for path in ("team/good/manifests/1", "team/good/blobs/uploads/", "x"):
        reply = world.ask(f"/v2/{path}", method)
        assert reply.status == 405
        assert json.loads(reply.body)["errors"][0]["code"] == "UNSUPPORTED"
    assert world.asked == []


@pytest.mark.parametrize(
    "path",
    ["team/good/manifests/%31", "team//good/manifests/1", "team/../evil/manifests/1",
     "team/evil/manifests/1/", "Team/evil/manifests/1", "team/evil/blobs/sha256:abc",
     "team/evil/manifests/1%3fx", "team/evil/manifests/1;x", "x" * 300 + "/manifests/1"],
)  # fmt: skip
def test_an_address_that_could_be_read_otherwise_names_nothing(path: str) -> None:
    world = World()
    assert world.get(path).status == 404
    assert world.asked == []


def test_a_client_that_means_another_registry_is_not_served() -> None:
    world = World()
    assert world.get("team/good/manifests/1?ns=docker.io").status == 404
    assert world.get(f"team/good/manifests/1?ns={HOST}&ns=docker.io").status == 404
    assert world.get(f"team/good/manifests/1?ns={HOST}").status == 200


def test_heads_are_answered_like_gets() -> None:
    world = World()
    assert world.ask("/v2/team/evil/manifests/1", "HEAD").status == 403
    assert world.ask("/v2/team/good/manifests/1", "HEAD").status == 200
    digest, data = next(iter(GOOD.blobs.items()))
    head = world.ask(f"/v2/team/good/blobs/{digest}", "HEAD")
    assert head.headers["content-length"] == str(len(data))


def test_referrers_are_listed_for_admitted_images_only() -> None:
    world = World()
    assert world.get(f"team/good/referrers/{GOOD.manifest_digest}").status == 200
    world.denied(f"team/evil/referrers/{EVIL.manifest_digest}")


def test_parameters_that_nobody_knows_are_not_handed_on() -> None:
    reply = World().get("team/good/tags/list?n=5&evil=x&last=a%26b")
    assert json.loads(reply.body)["asked"] == "tags/list?n=5&last=a%26b"


# --- blobs ---------------------------------------------------------------------------------------


def big(world: World) -> tuple[Digest, bytes]:
    world.get("team/good/manifests/1")
    return max(GOOD.blobs.items(), key=lambda item: len(item[1]))


@pytest.mark.parametrize(
    ("header", "first", "last"),
    [
        ("bytes=0-0", 0, 0),
        ("bytes=5-9", 5, 9),
        ("bytes=10-", 10, None),
        ("bytes=3-99999999", 3, None),
    ],
)
def test_a_range_is_answered(header: str, first: int, last: int | None) -> None:
    world = World()
    digest, data = big(world)
    end = len(data) - 1 if last is None else last
    reply = world.get(f"team/good/blobs/{digest}", range=header)
    assert (reply.status, reply.body) == (206, data[first : end + 1])
    assert reply.headers["content-range"] == f"bytes {first}-{end}/{len(data)}"


def test_a_blob_that_is_not_what_its_digest_says_never_comes_whole() -> None:
    for header in ({}, {"range": "bytes=0-"}, {"range": "bytes=0-10"}):
        world = World()
        digest, data = big(world)
        world.blobs[digest] = data[:-1] + bytes([data[-1] ^ 1])
        reply = world.get(f"team/good/blobs/{digest}", **header)
        wanted = int(reply.headers["content-length"])
        assert reply.status == 502 or (not reply.ended and len(reply.body) < wanted)
        assert reply.status != 502 or header == {"range": "bytes=0-10"}


def test_a_blob_is_kept_when_it_was_verified_and_only_then(tmp_path: Path) -> None:
    world = World(cache=BlobCache(tmp_path, 100 << 20))
    digest, data = big(world)
    world.blobs[digest] = b"x" + data[1:]
    world.get(f"team/good/blobs/{digest}")
    assert list(tmp_path.iterdir()) == []
    world.blobs[digest] = data
    for _ in range(2):
        assert world.get(f"team/good/blobs/{digest}").body == data
    assert world.get(f"team/good/blobs/{digest}", range="bytes=7-8").body == data[7:9]
    assert world.asked.count(("team/good", str(digest))) == 2


def test_a_cached_blob_that_was_changed_on_the_disk_never_comes_whole(tmp_path: Path) -> None:
    world = World(cache=BlobCache(tmp_path, 100 << 20))
    digest, data = big(world)
    world.get(f"team/good/blobs/{digest}")
    (file,) = tmp_path.iterdir()
    file.write_bytes(b"x" + data[1:])
    reply = world.get(f"team/good/blobs/{digest}")
    assert not reply.ended
    assert len(reply.body) < len(data)
    assert world.get(f"team/good/blobs/{digest}").body == data


def test_a_cache_is_bounded_and_forgets_what_was_not_used(tmp_path: Path) -> None:
    cache = BlobCache(tmp_path, 1000)
    for number in range(5):
        data = bytes([number]) * 400
        entry = cache.begin(Digest.of(data), len(data))
        assert entry is not None
        entry.write(data)
        entry.end(whole=True)
    assert cache.size <= 1000
    held = [number for number in range(5) if cache.holds(Digest.of(bytes([number]) * 400))]
    assert held == [3, 4]
    assert cache.begin(Digest.of(b"y"), 900) is None


# --- logins --------------------------------------------------------------------------------------


def test_a_client_without_a_login_is_told_where_to_log_in() -> None:
    world = World(passwords={"Bearer good"})
    for path in ("", "team/good/manifests/1"):
        reply = world.get(path)
        assert reply.status == 401
        assert reply.headers["www-authenticate"] == world.realm
    assert world.get("team/good/manifests/1", authorization="Bearer good").status == 200


def test_what_one_client_may_read_is_not_served_to_another_from_memory(tmp_path: Path) -> None:
    world = World(passwords={"Bearer good"}, cache=BlobCache(tmp_path, 100 << 20))
    assert world.get("team/good/manifests/1", authorization="Bearer good").status == 200
    digest, data = max(GOOD.blobs.items(), key=lambda item: len(item[1]))
    good = {"authorization": "Bearer good"}
    assert world.get(f"team/good/blobs/{digest}", **good).body == data
    for path in (f"manifests/{GOOD.manifest_digest}", "manifests/1", f"blobs/{digest}"):
        assert world.get(f"team/good/{path}", authorization="Bearer other").status == 401


# --- when something is down ----------------------------------------------------------------------


def test_a_registry_that_is_down_is_said_to_be_and_what_was_served_is_served_on() -> None:
    world = World()
    world.get("team/good/manifests/1")
    world.down = True
    reply = world.get("team/evil/manifests/1")
    assert reply.status == 503
    assert reply.headers["retry-after"]
    assert world.get(f"team/good/manifests/{GOOD.manifest_digest}").status == 200


@pytest.mark.parametrize("mode", [Mode.OBSERVE, Mode.ALERT])
def test_a_mild_mode_serves_all_and_counts(mode: Mode) -> None:
    world = World(mode=mode)
    assert world.get("team/evil/manifests/1").status == 200
    for digest, data in EVIL.blobs.items():
        assert world.get(f"team/evil/blobs/{digest}").body == data
    assert world.noted[0].would_refuse
    document = json.loads(GOOD.manifest) | {"manifests": []}
    world.put_document("team/good", "both", document)
    assert world.get("team/good/manifests/both").status == 200
