"""The Docker Engine source against an engine that is played here, over a real unix socket."""

import json
import socketserver
import threading
from collections.abc import Iterator
from hashlib import sha256
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from layerproof.errors import (
    DigestMismatchError,
    ImageNotFoundError,
    LayerproofError,
    ManifestError,
    ProtocolError,
    TarError,
    UnreachableError,
    UsageError,
)
from layerproof.model.digest import Digest
from layerproof.model.image import Image, Platform
from layerproof.model.reference import parse_reference
from layerproof.oci.limits import Limits
from layerproof.sources.docker_daemon import DockerDaemonSource
from layerproof.sources.docker_engine import DEFAULT_HOST, docker_host
from layerproof.testing.images import (
    BuiltImage,
    build,
    index,
    layout_files,
    tar,
    write_docker_archive,
)

LIMITS = Limits()
BASE = build([{"etc/passwd": "root"}])
IMAGE = build([{"a": "1"}, {"b": "2"}], base=BASE, env=["A=b"])


class Engine(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """Answers inspect and export; `asked` holds the paths."""

    daemon_threads = True

    def __init__(self, path: Path) -> None:
        super().__init__(str(path), Handler)
        self.host = f"unix://{path}"
        self.asked: list[str] = []
        self.inspect: dict[str, bytes] = {}  # name or ID → document
        self.exports: dict[str, bytes] = {}  # ID → tar
        self.cut = 0  # bytes of an export that are never sent

    def hold(self, image_id: Digest, image: BuiltImage, export: bytes, name: str = "") -> None:
        document = {"Id": image_id, "RootFS": {"Type": "layers", "Layers": image.diff_ids}}
        for key in (str(image_id), name):
            self.inspect[key] = json.dumps(document).encode()
        self.exports[image_id] = export


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    server: Any

    def log_message(self, *_: object) -> None:
        """Nothing."""

    def do_GET(self) -> None:
        """/images/NAME/json or /images/ID/get"""
        self.server.asked.append(self.path)
        name, _, verb = self.path.removeprefix("/images/").rpartition("/")
        found = (self.server.inspect if verb == "json" else self.server.exports).get(name)
        self.send_response(200 if found is not None else 404)
        self.send_header("Transfer-Encoding", "chunked")
        self.send_header("Connection", "close")
        self.end_headers()
        body = found or b'{"message":"No such image"}'
        end = len(body) - self.server.cut if verb == "get" else len(body)
        for start in range(0, end, 1000):
            piece = body[start : min(start + 1000, end)]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        if end == len(body):
            self.wfile.write(b"0\r\n\r\n")


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    server = Engine(tmp_path / "docker.sock")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def saved(folder: Path, image: BuiltImage, layout: str = "old", gzip_layers: bool = False) -> bytes:
    file = folder / "saved.tar"
    write_docker_archive(file, {"": image}, layout=layout, compress_layers=gzip_layers)  # type: ignore[arg-type]  a word
    return file.read_bytes()


def source(engine: Engine, name: str = "app:1", **options: Any) -> DockerDaemonSource:
    return DockerDaemonSource(
        parse_reference(f"docker-daemon:{name}"), LIMITS, host=engine.host, **options
    )


NAME = "docker.io/library/app:1"


def contents(opened: DockerDaemonSource, wanted: list[int]) -> dict[int, str]:
    return {
        layer.position: "sha256:" + sha256(b"".join(chunks)).hexdigest()
        for layer, chunks in opened.layers(wanted)
        if layer is not None
    }


@pytest.mark.parametrize("layout", ["old", "new"])
def test_classic_store_gives_the_image_its_config_names(
    engine: Engine, tmp_path: Path, layout: str
) -> None:
    engine.hold(IMAGE.config_digest, IMAGE, saved(tmp_path, IMAGE, layout), NAME)
    for name in ("app:1", str(IMAGE.config_digest)):
        opened = source(engine, name)
        image = opened.resolve(None)
        assert image.reference == str(parse_reference(f"docker-daemon:{name}"))
        assert image.config_digest == IMAGE.config_digest
        assert tuple(layer.chain_id for layer in image.layers) == IMAGE.chain_ids
        assert contents(opened, [0, 1, 2]) == dict(enumerate(IMAGE.diff_ids))
        opened.close()
        assert contents(opened, [1]) == {1: IMAGE.diff_ids[1]}


def test_containerd_store_names_the_manifest_or_the_index(engine: Engine, tmp_path: Path) -> None:
    engine.hold(IMAGE.manifest_digest, IMAGE, saved(tmp_path, IMAGE, "new", gzip_layers=True), NAME)
    image = source(engine).resolve(None)
    assert image.manifest_digest == IMAGE.manifest_digest
    assert [layer.blob and layer.blob.digest for layer in image.layers] == [
        layer.digest for layer in IMAGE.layers
    ]
    both = index(IMAGE, attestations=[build([])])
    listed = {
        "Config": f"blobs/sha256/{IMAGE.config_digest.hex}",
        "Layers": [f"blobs/sha256/{layer.digest.hex}" for layer in IMAGE.layers],
    }
    files = layout_files({"": both}) | {"manifest.json": json.dumps([listed]).encode()}
    engine.hold(both.manifest_digest, IMAGE, tar(files), NAME)
    assert source(engine).resolve(None).index_digest == both.manifest_digest


def test_known_image_is_never_exported(engine: Engine, tmp_path: Path) -> None:
    engine.hold(IMAGE.config_digest, IMAGE, saved(tmp_path, IMAGE), NAME)
    first = source(engine).resolve(None)
    engine.asked.clear()
    known: dict[Digest, Image] = {first.config_digest: first}
    opened = source(engine, known=known.get)
    assert opened.resolve(None) == first
    assert list(opened.layers([])) == []
    assert engine.asked == [f"/images/{NAME}/json"]
    assert contents(opened, [2]) == {2: IMAGE.diff_ids[2]}


def test_known_image_of_other_layers_is_not_believed(engine: Engine, tmp_path: Path) -> None:
    engine.hold(BASE.config_digest, BASE, saved(tmp_path, BASE), NAME)
    other = source(engine).resolve(None)
    engine.hold(IMAGE.config_digest, IMAGE, saved(tmp_path, IMAGE), NAME)
    image = source(engine, known=lambda _: other).resolve(None)
    assert image.config_digest == IMAGE.config_digest


def test_name_that_moves_between_the_calls_changes_nothing(engine: Engine, tmp_path: Path) -> None:
    engine.hold(IMAGE.config_digest, IMAGE, saved(tmp_path, IMAGE), NAME)
    opened = source(engine)
    opened.resolve(None)
    engine.hold(BASE.config_digest, BASE, saved(tmp_path, BASE), NAME)
    assert contents(opened, [0, 1, 2]) == dict(enumerate(IMAGE.diff_ids))
    assert all(str(IMAGE.config_digest) in path for path in engine.asked[1:])


def test_export_of_another_config_over_the_same_layers_is_refused(
    engine: Engine, tmp_path: Path
) -> None:
    other = build([], base=IMAGE, env=["LD_PRELOAD=/evil.so"])
    engine.hold(IMAGE.config_digest, IMAGE, saved(tmp_path, other), NAME)
    with pytest.raises(DigestMismatchError):
        source(engine).resolve(None)


def test_export_of_other_layers_than_inspected_is_refused(engine: Engine, tmp_path: Path) -> None:
    engine.hold(IMAGE.config_digest, IMAGE, saved(tmp_path, IMAGE), NAME)
    lie = {"Id": IMAGE.config_digest, "RootFS": {"Layers": BASE.diff_ids}}
    engine.inspect[NAME] = json.dumps(lie).encode()
    with pytest.raises(DigestMismatchError, match="other layers"):
        source(engine).resolve(None)


def test_other_platform_is_not_found(engine: Engine, tmp_path: Path) -> None:
    engine.hold(IMAGE.config_digest, IMAGE, saved(tmp_path, IMAGE), NAME)
    with pytest.raises(ImageNotFoundError, match="linux/s390x"):
        source(engine).resolve(Platform("linux", "s390x"))


def test_unknown_image_is_not_found(engine: Engine) -> None:
    with pytest.raises(ImageNotFoundError) as caught:
        source(engine, "nobody").resolve(None)
    assert "docker images" in caught.value.remedy


@pytest.mark.parametrize(
    ("document", "error"),
    [
        (b"not json", ManifestError),
        (b"{}", ProtocolError),
        (b'{"Id":"sha256:1","RootFS":{"Layers":[]}}', ManifestError),
        (b'{"Id":5,"RootFS":{"Layers":["x"]}}', ManifestError),
        (b'{"Id":5,"RootFS":{"Layers":{"a":1}}}', ProtocolError),
    ],
)
def test_answers_that_no_engine_gives_are_refused(
    engine: Engine, document: bytes, error: type[LayerproofError]
) -> None:
    engine.inspect[NAME] = document
    with pytest.raises(error):
        source(engine).resolve(None)


@pytest.mark.parametrize("cut", [1100, 3000])
def test_export_that_breaks_off_is_an_error(engine: Engine, tmp_path: Path, cut: int) -> None:
    engine.hold(IMAGE.config_digest, IMAGE, saved(tmp_path, IMAGE), NAME)
    engine.cut = cut
    with pytest.raises((UnreachableError, TarError)):
        source(engine).resolve(None)


@pytest.mark.parametrize("host", ["unix:///nowhere/docker.sock", "tcp://127.0.0.1:1"])
def test_engine_that_is_not_there_is_unreachable(host: str) -> None:
    opened = DockerDaemonSource(parse_reference("docker-daemon:a"), LIMITS, host=host)
    with pytest.raises(UnreachableError) as caught:
        opened.resolve(None)
    assert "DOCKER_HOST" in caught.value.remedy


@pytest.mark.parametrize("host", ["ssh://host", "nonsense", "unix://", "http://x", "tcp://h:port"])
def test_other_ways_to_an_engine_are_wrong_use(host: str) -> None:
    opened = DockerDaemonSource(parse_reference("docker-daemon:a"), LIMITS, host=host)
    with pytest.raises(UsageError):
        opened.resolve(None)


def test_docker_host_is_where_the_client_looks_and_never_drops_tls() -> None:
    assert docker_host({}) == DEFAULT_HOST
    assert docker_host({"DOCKER_HOST": "tcp://h:1"}) == "tcp://h:1"
    with pytest.raises(UsageError, match="TLS"):
        docker_host({"DOCKER_HOST": "tcp://h:1", "DOCKER_TLS_VERIFY": "1"})
