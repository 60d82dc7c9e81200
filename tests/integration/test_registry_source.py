"""`docker://` through real sockets, against the in-memory registry and what it can do wrong."""

import base64
import contextlib
import json
import multiprocessing
import os
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from layerproof.errors import (
    AuthenticationError,
    CorruptImageError,
    DigestMismatchError,
    ImageNotFoundError,
    LayerproofError,
    LimitExceededError,
    ManifestError,
    ProtocolError,
    UnreachableError,
    UnsupportedError,
    UsageError,
)
from layerproof.model.digest import DiffId, Digest, chain_ids
from layerproof.model.image import Platform
from layerproof.model.reference import parse_reference
from layerproof.oci.limits import Limits
from layerproof.sources.registry.credentials import Credential, FixedCredentials
from layerproof.sources.registry.settings import RegistrySettings, Retry, Timeouts
from layerproof.sources.registry.source import RegistrySource
from layerproof.testing.registry import InMemoryRegistry

AMD64 = Platform("linux", "amd64")
ARM64 = Platform("linux", "arm64", "v8")
LAYERS = (b"first layer " * 100_000, b"second layer")


@dataclass(frozen=True, slots=True)
class Built:
    """An image as bytes. The layers are no tars: sources do not look inside."""

    manifest: bytes
    manifest_media_type: str
    config: bytes
    blobs: Mapping[Digest, bytes]

    @property
    def manifest_digest(self) -> Digest:
        return Digest.of(self.manifest)


def build(*layers: bytes, platform: Platform = AMD64, **changed: int) -> Built:
    """`changed`: another size in the descriptor of `layer` or `config`."""
    config = json.dumps(
        {
            "os": platform.os,
            "architecture": platform.architecture,
            "rootfs": {"type": "layers", "diff_ids": [Digest.of(layer) for layer in layers]},
        }
    ).encode()
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": Digest.of(config),
            "size": changed.get("config", len(config)),
        },
        "layers": [
            {
                "mediaType": "application/vnd.oci.image.layer.v1.tar",
                "digest": Digest.of(layer),
                "size": changed.get("layer", len(layer)),
            }
            for layer in layers
        ],
    }
    blobs = {Digest.of(layer): layer for layer in layers}
    media_type = "application/vnd.oci.image.manifest.v1+json"
    return Built(json.dumps(manifest).encode(), media_type, config, blobs)


APP = build(*LAYERS)
BLOB = Digest.of(LAYERS[0])
Open = Callable[..., RegistrySource]


@pytest.fixture
def registry() -> Iterator[InMemoryRegistry]:
    with InMemoryRegistry() as running:
        running.add_image("team/app", "1", APP)
        yield running
    assert running.errors == []


@pytest.fixture
def source(registry: InMemoryRegistry) -> Iterator[Open]:
    """Opens images of the registry, patient for two attempts without pauses."""
    opened = []

    def open_source(
        name: str = "team/app:1",
        *,
        login: Credential | None = None,
        limits: Limits | None = None,
        host: str = "",
        **settings: object,
    ) -> RegistrySource:
        host = host or registry.host
        plain = {
            "insecure_hosts": frozenset({host}),
            "retry": Retry(attempts=3, backoff=0.0),
            "timeouts": Timeouts(connect=5.0, read=5.0, document=5.0),
        }
        found = RegistrySource(
            parse_reference(f"docker://{host}/{name}"),
            limits=limits or Limits(),
            credentials=FixedCredentials({host: login} if login else {}),
            settings=RegistrySettings(**{**plain, **settings}),  # type: ignore[arg-type]
        )
        opened.append(found)
        return found

    yield open_source
    for found in opened:
        found.close()


def read(source: RegistrySource, *wanted: int) -> list[bytes]:
    return [b"".join(chunks) for _, chunks in source.layers(wanted)]


def fails(family: type[LayerproofError], match: str, work: Callable[[], object]) -> LayerproofError:
    with pytest.raises(family, match=match) as caught:
        work()
    assert caught.value.where
    assert caught.value.remedy
    return caught.value


def blob_requests(registry: InMemoryRegistry) -> list[str]:
    """The ranges that were asked for."""
    return [
        request.headers.get("range", "")
        for request in registry.requests
        if request.path.endswith(BLOB)
    ]


# --- the ordinary way ----------------------------------------------------------------------------


def test_image_is_resolved_and_its_layers_streamed(source: Open) -> None:
    opened = source()
    image = opened.resolve(AMD64)
    assert image.manifest_digest == APP.manifest_digest
    assert image.config_digest == Digest.of(APP.config)
    assert image.platform == AMD64
    diff_ids = [DiffId.of(layer) for layer in LAYERS]
    assert [layer.chain_id for layer in image.layers] == list(chain_ids(diff_ids))
    assert opened.random_access
    assert read(opened, 0, 1) == list(LAYERS)
    assert read(opened, 1) == [LAYERS[1]]
    assert [layer for layer, _ in opened.layers([1])] == [image.layers[1]]


def test_constructor_opens_nothing(registry: InMemoryRegistry, source: Open) -> None:
    source().close()
    assert registry.requests == []


def test_one_connection_serves_all_requests(registry: InMemoryRegistry, source: Open) -> None:
    opened = source()
    opened.resolve(AMD64)
    read(opened, 0, 1)
    assert len(registry.requests) == 4
    assert len({request.client_port for request in registry.requests}) == 1


def test_source_can_be_used_after_close(source: Open) -> None:
    opened = source()
    opened.resolve(AMD64)
    opened.close()
    opened.close()
    assert read(opened, 1) == [LAYERS[1]]


def test_layer_given_up_half_way_leaves_the_source_usable(source: Open) -> None:
    opened = source()
    opened.resolve(AMD64)
    for _, chunks in opened.layers([0, 1]):
        next(chunks)
        chunks.close()  # type: ignore[attr-defined]  # because it is a generator
    assert read(opened, 0) == [LAYERS[0]]


def test_layers_before_resolve_is_wrong_use(source: Open) -> None:
    with pytest.raises(UsageError, match="not resolved"):
        next(source().layers([0]))


def test_reference_of_another_transport_is_wrong_use() -> None:
    with pytest.raises(UsageError):
        RegistrySource(parse_reference("oci:/tmp/x"), limits=Limits())


def test_index_is_resolved_to_the_platform(registry: InMemoryRegistry, source: Open) -> None:
    arm = build(b"arm layer", platform=ARM64)
    index = registry.add_index("team/app", "all", [(APP, AMD64), (arm, ARM64)])
    image = source("team/app:all").resolve(ARM64)
    assert image.index_digest == index
    assert image.manifest_digest == arm.manifest_digest
    fails(
        ImageNotFoundError,
        "windows",
        lambda: source("team/app:all").resolve(Platform("windows", "amd64")),
    )


def test_image_is_found_by_digest_and_digest_wins_over_tag(
    registry: InMemoryRegistry, source: Open
) -> None:
    registry.add_image("team/app", "other", build(b"other"))
    name = f"team/app:other@{APP.manifest_digest}"
    assert source(name).resolve(AMD64).manifest_digest == APP.manifest_digest


def test_forked_process_reads_with_its_own_connection(
    registry: InMemoryRegistry, source: Open
) -> None:
    registry.accounts["alice"] = "pw"
    registry.token_auth = True
    opened = source(login=Credential("alice", "pw"))
    opened.resolve(AMD64)
    stream = next(opened.layers([0]))[1]
    begun = next(stream)

    def child(answers: "multiprocessing.connection.Connection") -> None:
        answers.send((os.getpid(), [Digest.of(data) for data in read(opened, 0, 1)]))

    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    process = context.Process(target=child, args=(there,))
    process.start()
    assert here.poll(20)
    pid, digests = here.recv()
    process.join(20)
    assert process.exitcode == 0
    assert pid != os.getpid()
    assert digests == [Digest.of(layer) for layer in LAYERS]
    # The parent's own stream was not disturbed, and the child used the parent's token.
    assert begun + b"".join(stream) == LAYERS[0]
    assert [r.path for r in registry.requests].count("/token") == 1


def test_forked_process_leaves_an_idle_connection_to_its_parent(
    registry: InMemoryRegistry, source: Open
) -> None:
    opened = source()
    opened.resolve(AMD64)
    process = multiprocessing.get_context("fork").Process(target=read, args=(opened, 0))
    process.start()
    process.join(20)
    assert process.exitcode == 0
    read(opened, 1)
    ports = [(request.path[-64:], request.client_port) for request in registry.requests]
    (_, own), _, (layer_0, childs), (_, own_again) = ports
    assert layer_0 == BLOB.hex
    assert own == own_again != childs


# --- accounts ------------------------------------------------------------------------------------


@pytest.mark.parametrize("token_auth", [False, True])
def test_login_is_used_and_missing_or_wrong_login_is_told(
    registry: InMemoryRegistry, source: Open, token_auth: bool
) -> None:
    registry.accounts["alice"] = "s3cr3t"
    registry.token_auth = token_auth
    opened = source(login=Credential("alice", "s3cr3t"))
    opened.resolve(AMD64)
    assert read(opened, 1) == [LAYERS[1]]
    assert {r.user for r in registry.requests if r.status == 200} == {"alice"}
    fails(AuthenticationError, "login|denies", lambda: source().resolve(AMD64))
    wrong = Credential("alice", "wr0ng")
    error = fails(AuthenticationError, "denies", lambda: source(login=wrong).resolve(AMD64))
    assert "wr0ng" not in str(error)


def test_public_repository_is_read_with_an_anonymous_token(
    registry: InMemoryRegistry, source: Open
) -> None:
    registry.accounts["alice"] = "pw"
    registry.token_auth = registry.anonymous_pull = True
    source().resolve(AMD64)
    assert [r.path for r in registry.requests].count("/token") == 1


def test_identity_token_is_exchanged(registry: InMemoryRegistry, source: Open) -> None:
    registry.accounts["alice"] = "pw"
    registry.token_auth = True
    registry.identity_tokens["refresh"] = "alice"
    source(login=Credential("<token>", identity_token="refresh")).resolve(AMD64)
    assert [(r.method, r.user) for r in registry.requests if r.path == "/token"] == [
        ("POST", "alice")
    ]


def test_token_that_the_registry_forgot_is_renewed(
    registry: InMemoryRegistry, source: Open
) -> None:
    registry.accounts["alice"] = "pw"
    registry.token_auth = True
    opened = source(login=Credential("alice", "pw"))
    opened.resolve(AMD64)
    registry.forget_tokens()
    assert read(opened, 1) == [LAYERS[1]]


def test_realm_on_a_foreign_host_gets_no_credentials(
    registry: InMemoryRegistry, source: Open
) -> None:
    registry.accounts["alice"] = "s3cr3t"
    registry.token_auth = True
    with InMemoryRegistry() as thief:
        registry.faults.realm = f"http://localhost:{thief.port}/token"
        login = Credential("alice", "s3cr3t")
        fails(AuthenticationError, "nothing was sent", lambda: source(login=login).resolve(AMD64))
        registry.faults.realm = f"https://localhost:{thief.port}/token"
        fails(AuthenticationError, "was not sent", lambda: source(login=login).resolve(AMD64))
        assert thief.requests == []


def test_redirect_of_a_blob_drops_authorization(registry: InMemoryRegistry, source: Open) -> None:
    registry.accounts["alice"] = "pw"
    with InMemoryRegistry() as storage:
        storage.add_image("team/app", "1", APP)
        registry.faults.redirect_blobs = f"http://localhost:{storage.port}"
        opened = source(login=Credential("alice", "pw"))
        opened.resolve(AMD64)
        assert read(opened, 0) == [LAYERS[0]]
        assert len(storage.requests) == 2  # the config and the layer
        assert not any("authorization" in request.headers for request in storage.requests)


def test_redirect_loop_ends(registry: InMemoryRegistry, source: Open) -> None:
    registry.faults.redirect_blobs = registry.url + "/"
    fails(ProtocolError, "redirects|HTTP 404|no such", lambda: source().resolve(AMD64))


# --- bytes that contradict their names -----------------------------------------------------------


def test_tag_answered_differently_later_still_decides_on_the_first_bytes(
    registry: InMemoryRegistry, source: Open
) -> None:
    evil = build(b"evil layer")
    registry.add_image("team/app", "evil", evil)
    registry.faults.second_manifest["team/app", "1"] = evil.manifest
    opened = source()
    first = opened.resolve(AMD64)
    opened.close()
    assert opened.resolve(AMD64).manifest_digest == first.manifest_digest == APP.manifest_digest
    assert read(opened, 0, 1) == list(LAYERS)
    assert source().resolve(AMD64).manifest_digest == evil.manifest_digest


def test_wrong_manifest_for_a_digest_is_refused(registry: InMemoryRegistry, source: Open) -> None:
    registry.faults.wrong_bytes[APP.manifest_digest] = build(b"evil").manifest
    name = f"team/app@{APP.manifest_digest}"
    fails(DigestMismatchError, "delivered", lambda: source(name).resolve(AMD64))


def test_wrong_platform_manifest_of_an_index_is_refused(
    registry: InMemoryRegistry, source: Open
) -> None:
    registry.add_index("team/app", "all", [(APP, AMD64)])
    registry.faults.wrong_bytes[APP.manifest_digest] = build(b"evil").manifest
    fails(DigestMismatchError, "delivered", lambda: source("team/app:all").resolve(AMD64))


def test_tag_whose_digest_header_lies_is_refused(registry: InMemoryRegistry, source: Open) -> None:
    registry.faults.claimed_digest = Digest.of(b"other")
    fails(DigestMismatchError, "delivered", lambda: source().resolve(AMD64))


def test_wrong_config_is_refused(registry: InMemoryRegistry, source: Open) -> None:
    config = Digest.of(APP.config)
    registry.faults.wrong_bytes[config] = APP.config.replace(b"amd64", b"arm64")
    fails(DigestMismatchError, "delivered", lambda: source().resolve(AMD64))


def test_wrong_layer_is_left_to_the_reader_that_hashes_it(
    registry: InMemoryRegistry, source: Open
) -> None:
    evil = bytes(len(LAYERS[0]))
    registry.faults.wrong_bytes[BLOB] = evil
    opened = source()
    opened.resolve(AMD64)
    assert read(opened, 0) == [evil]


def test_manifest_whose_size_differs_from_the_indexs_is_refused(
    registry: InMemoryRegistry, source: Open
) -> None:
    registry.add_index("team/app", "all", [(APP, AMD64)])
    stored = registry.manifest("team/app", "all")
    assert stored is not None
    lying = stored.data.replace(
        f'"size": {len(APP.manifest)}'.encode(), f'"size": {len(APP.manifest) + 1}'.encode()
    )
    registry.add_manifest("team/app", "lying", lying, stored.media_type)
    fails(CorruptImageError, "bytes", lambda: source("team/app:lying").resolve(AMD64))


def test_index_within_an_index_is_unsupported(registry: InMemoryRegistry, source: Open) -> None:
    registry.add_index("team/app", "inner", [(APP, AMD64)])
    inner = registry.manifest("team/app", "inner")
    assert inner is not None
    outer = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": inner.media_type,
            "manifests": [
                {
                    "mediaType": inner.media_type,
                    "digest": Digest.of(inner.data),
                    "size": len(inner.data),
                    "platform": {"os": "linux", "architecture": "amd64"},
                }
            ],
        }
    ).encode()
    registry.add_manifest("team/app", "outer", outer, inner.media_type)
    with pytest.raises((UnsupportedError, ManifestError, ImageNotFoundError)):
        source("team/app:outer").resolve(AMD64)


# --- broken and hostile connections --------------------------------------------------------------


def test_truncated_blob_is_resumed(registry: InMemoryRegistry, source: Open) -> None:
    opened = source()
    opened.resolve(AMD64)
    registry.faults.cut_after, registry.faults.cut_times = 300_000, 2
    assert read(opened, 0) == [LAYERS[0]]
    assert blob_requests(registry) == ["", "bytes=300000-", "bytes=600000-"]


def test_truncated_blob_of_a_server_without_ranges_is_read_again(
    registry: InMemoryRegistry, source: Open
) -> None:
    opened = source()
    opened.resolve(AMD64)
    registry.faults.cut_after, registry.faults.cut_times = 300_000, 1
    registry.faults.ignore_range = True
    assert read(opened, 0) == [LAYERS[0]]


def test_blob_cut_again_and_again_is_given_up(registry: InMemoryRegistry, source: Open) -> None:
    opened = source()
    opened.resolve(AMD64)
    registry.faults.cut_after, registry.faults.cut_times = 0, 1000
    fails(UnreachableError, "failed", lambda: read(opened, 0))
    assert len(blob_requests(registry)) == 3


def test_resume_with_another_range_is_refused(registry: InMemoryRegistry, source: Open) -> None:
    opened = source()
    opened.resolve(AMD64)
    registry.faults.cut_after, registry.faults.cut_times = 300_000, 1
    registry.faults.shift_range = -1
    fails(ProtocolError, "another range", lambda: read(opened, 0))


@pytest.mark.parametrize("hide_length", [False, True])
def test_blob_longer_than_its_descriptor_is_refused(
    registry: InMemoryRegistry, source: Open, hide_length: bool
) -> None:
    opened = source()
    opened.resolve(AMD64)
    registry.faults.wrong_bytes[BLOB] = LAYERS[0] + b"!"
    registry.faults.hide_length = hide_length
    fails(CorruptImageError, "longer than", lambda: read(opened, 0))


def test_content_length_that_is_too_short_is_refused(
    registry: InMemoryRegistry, source: Open
) -> None:
    opened = source()
    opened.resolve(AMD64)
    registry.faults.wrong_length[BLOB] = 10
    fails(CorruptImageError, "shorter than", lambda: read(opened, 0))


def test_endless_blob_is_bounded(registry: InMemoryRegistry, source: Open) -> None:
    opened = source()
    opened.resolve(AMD64)
    registry.faults.endless = True
    fails(CorruptImageError, "longer than", lambda: read(opened, 0))


@pytest.mark.parametrize("hide_length", [False, True])
def test_oversize_manifest_is_refused(
    registry: InMemoryRegistry, source: Open, hide_length: bool
) -> None:
    registry.faults.manifest_bytes = 100_000
    registry.faults.hide_length = hide_length
    limits = Limits(json_bytes=50_000)
    error = fails(LimitExceededError, "50000", lambda: source(limits=limits).resolve(AMD64))
    assert isinstance(error, LimitExceededError)
    assert error.limit == "json_bytes"


def test_manifest_that_never_comes_to_an_end_is_given_up_after_a_time(
    registry: InMemoryRegistry, source: Open
) -> None:
    registry.faults.slow_seconds = 0.02
    timeouts = Timeouts(connect=5.0, read=5.0, document=0.2)
    fails(UnreachableError, "not complete", lambda: source(timeouts=timeouts).resolve(AMD64))


def test_silent_blob_is_given_up_after_a_time(registry: InMemoryRegistry, source: Open) -> None:
    opened = source(timeouts=Timeouts(read=0.1), retry=Retry(attempts=2, backoff=0.0))
    opened.resolve(AMD64)
    registry.faults.slow_seconds, registry.faults.slow_bytes = 30.0, 1000
    fails(UnreachableError, "in time", lambda: read(opened, 0))


@pytest.mark.parametrize("status", [429, 503])
def test_registry_that_asks_to_wait_is_obeyed(
    registry: InMemoryRegistry, source: Open, status: int
) -> None:
    registry.faults.refuse_times, registry.faults.refuse_status = 2, status
    source().resolve(AMD64)


def test_429_storm_gives_up_clearly(registry: InMemoryRegistry, source: Open) -> None:
    registry.faults.refuse_times = 1000
    fails(UnreachableError, "slow down", lambda: source().resolve(AMD64))
    assert len(registry.requests) == 3


# --- places that are not there -------------------------------------------------------------------


@pytest.mark.parametrize("name", ["team/app:none", "team/none:1", f"team/app@{Digest.of(b'none')}"])
def test_missing_image_is_told(source: Open, name: str) -> None:
    fails(ImageNotFoundError, "no such", lambda: source(name).resolve(AMD64))


def test_refused_connection_is_told(source: Open) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    host = f"127.0.0.1:{port}"
    fails(UnreachableError, "refuses connections", lambda: source(host=host).resolve(AMD64))


def test_unknown_host_is_told(source: Open) -> None:
    host = "no-such-host.invalid"
    fails(UnreachableError, "not known", lambda: source(host=host).resolve(AMD64))


def test_port_beyond_all_ports_is_told(source: Open) -> None:
    fails(UnreachableError, "no port", lambda: source(host="127.0.0.1:99999").resolve(AMD64))


@contextlib.contextmanager
def raw_server(*first: bytes, again: bytes, pause: float = 0.0) -> Iterator[str]:
    """Sends some bytes and then others for ever, to everybody; its host."""
    stop = threading.Event()

    def serve(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):  # the client has had enough
            connection.sendall(b"".join(first))
            while not stop.wait(pause):
                connection.sendall(again)

    def accept(server: socket.socket) -> None:
        threads = []
        with contextlib.suppress(OSError):
            while True:
                threads.append(threading.Thread(target=serve, args=server.accept()[:1]))
                threads[-1].start()
        for thread in threads:
            thread.join(5)

    with socket.create_server(("127.0.0.1", 0)) as server:
        acceptor = threading.Thread(target=accept, args=(server,))
        acceptor.start()
        try:
            yield f"127.0.0.1:{server.getsockname()[1]}"
        finally:
            stop.set()
            server.shutdown(socket.SHUT_RDWR)
            acceptor.join(10)


def test_server_that_speaks_no_http_is_told(source: Open) -> None:
    with raw_server(b"220 mail.example ESMTP\r\n", again=b"500 what?\r\n\r\n") as host:
        fails(UnreachableError, "failed", lambda: source(host=host).resolve(AMD64))


def test_endless_headers_are_bounded(source: Open) -> None:
    head = b"HTTP/1.1 200 OK\r\n"
    with raw_server(head, again=b"X-Filler: " + b"x" * 60_000 + b"\r\n") as host:
        fails(UnreachableError, "failed", lambda: source(host=host).resolve(AMD64))


@pytest.mark.parametrize(
    "first",
    [
        b"HTTP/1.1 200 OK\r\nX-Filler: ",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;",
        b"HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n5;",
    ],
)
def test_answer_that_drips_for_ever_is_given_up(source: Open, first: bytes) -> None:
    once = {
        "timeouts": Timeouts(connect=5.0, read=0.3, document=0.3),
        "retry": Retry(attempts=1),
    }
    with (
        raw_server(first, again=b"x", pause=0.02) as host,
        pytest.raises((UnreachableError, ImageNotFoundError)),
    ):
        source(host=host, **once).resolve(AMD64)


def test_blob_that_drips_without_bytes_is_given_up(
    registry: InMemoryRegistry, source: Open
) -> None:
    opened = source(timeouts=Timeouts(read=5.0, document=0.3), retry=Retry(attempts=1))
    opened.resolve(AMD64)
    first = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;"
    with raw_server(first, again=b"x", pause=0.02) as host:
        registry.faults.redirect_blobs = f"http://{host}"
        fails(UnreachableError, "in time", lambda: read(opened, 0))


def test_mirror_is_used_and_registry_when_the_mirror_is_gone(
    registry: InMemoryRegistry, source: Open
) -> None:
    with InMemoryRegistry() as mirror:
        mirror.add_image("proxy/team/app", "1", APP)
        hosts = frozenset({registry.host, mirror.host})
        opened = source(mirrors={registry.host: (f"{mirror.host}/proxy",)}, insecure_hosts=hosts)
        opened.resolve(AMD64)
        assert registry.requests == []
    assert read(opened, 0) == [LAYERS[0]]
    assert len(registry.requests) == 1


# --- TLS -----------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for `localhost` and `registry.test`, and its key."""
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
        " -subj /CN=localhost -addext subjectAltName=DNS:localhost,DNS:registry.test"
        " -keyout key.pem -out cert.pem"
    )
    subprocess.run(command.split(), cwd=folder, check=True, capture_output=True)
    return cert, key


@pytest.fixture
def secure_registry(certificate: tuple[Path, Path]) -> Iterator[InMemoryRegistry]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    with InMemoryRegistry(tls=context) as running:
        running.add_image("team/app", "1", APP)
        yield running


def test_registry_with_a_verified_certificate_is_read_over_tls(
    secure_registry: InMemoryRegistry,
    certificate: tuple[Path, Path],
    source: Open,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    host = f"localhost:{secure_registry.port}"
    opened = source(host=host, insecure_hosts=frozenset())
    opened.resolve(AMD64)
    secure_registry.faults.cut_after, secure_registry.faults.cut_times = 300_000, 1
    assert read(opened, 0, 1) == list(LAYERS)


def test_certificate_of_nobody_is_refused(secure_registry: InMemoryRegistry, source: Open) -> None:
    host = f"localhost:{secure_registry.port}"
    opened = source(host=host, insecure_hosts=frozenset())
    error = fails(UnreachableError, "certificate", lambda: opened.resolve(AMD64))
    assert "SSL_CERT_FILE" in error.remedy
    assert secure_registry.requests == []


def test_certificate_for_another_name_is_refused(
    secure_registry: InMemoryRegistry,
    certificate: tuple[Path, Path],
    source: Open,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    opened = source(host=secure_registry.host, insecure_hosts=frozenset())
    fails(UnreachableError, "certificate", lambda: opened.resolve(AMD64))


def test_plain_http_registry_is_not_read_unless_it_was_asked_for(
    registry: InMemoryRegistry, source: Open
) -> None:
    opened = source(insecure_hosts=frozenset())
    error = fails(UnreachableError, "no TLS", lambda: opened.resolve(AMD64))
    assert registry.host in error.remedy
    assert registry.requests == []


# --- proxies -------------------------------------------------------------------------------------


@pytest.fixture
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@contextlib.contextmanager
def tunnel(target: int, context: ssl.SSLContext | None) -> Iterator[tuple[int, list[bytes]]]:
    """A proxy that leads every CONNECT to one port; its own port and the requests it saw."""
    seen: list[bytes] = []

    def copy(here: socket.socket, there: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := here.recv(65536):
                there.sendall(data)
            there.shutdown(socket.SHUT_WR)

    def serve(server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            connection, _ = server.accept()
            with connection, socket.create_connection(("127.0.0.1", target)) as onward:
                inner = context.wrap_socket(connection, server_side=True) if context else connection
                with inner:
                    seen.append(inner.recv(65536))
                    inner.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                    back = threading.Thread(target=copy, args=(onward, inner), daemon=True)
                    back.start()
                    copy(inner, onward)
                    back.join(5)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, args=(server,), daemon=True)
        thread.start()
        yield server.getsockname()[1], seen
    thread.join(5)


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.usefixtures("no_proxies")
def test_registry_behind_a_proxy_is_read_through_a_tunnel(
    secure_registry: InMemoryRegistry,
    certificate: tuple[Path, Path],
    source: Open,
    monkeypatch: pytest.MonkeyPatch,
    scheme: str,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    context = secure_registry.tls if scheme == "https" else None
    with tunnel(secure_registry.port, context) as (port, seen):
        monkeypatch.setenv("HTTPS_PROXY", f"{scheme}://me:p%40ss@localhost:{port}")
        opened = source(host="registry.test", insecure_hosts=frozenset())
        opened.resolve(AMD64)
        assert read(opened, 0, 1) == list(LAYERS)
        opened.close()
    assert seen[0].startswith(b"CONNECT registry.test:443 ")
    assert base64.b64encode(b"me:p@ss") in seen[0]


@pytest.mark.usefixtures("no_proxies")
def test_plain_http_registry_behind_a_proxy_is_asked_for_by_its_full_address(
    registry: InMemoryRegistry, source: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The registry plays the proxy: it takes the path of the full address.
    monkeypatch.setenv("HTTP_PROXY", registry.url)
    opened = source(host="registry.test")
    opened.resolve(AMD64)
    assert registry.requests[0].headers["host"] == "registry.test"


@pytest.mark.usefixtures("no_proxies")
def test_proxy_is_not_asked_for_this_machine(
    registry: InMemoryRegistry, source: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    source().resolve(AMD64)
    assert registry.requests[0].headers["host"] == registry.host


@pytest.mark.usefixtures("no_proxies")
def test_kind_of_proxy_that_is_not_known_is_told(
    source: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://me:s3cr3t@localhost:1")
    opened = source(host="registry.test")
    error = fails(UnsupportedError, "socks5", lambda: opened.resolve(AMD64))
    assert "s3cr3t" not in f"{error} {error.where} {error.remedy}"
