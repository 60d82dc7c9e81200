"""Manifests and blobs over a scripted transport: digests, lengths, ranges, mirrors."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

import httpx
import pytest

from layerproof.errors import (
    CorruptImageError,
    DigestMismatchError,
    ImageNotFoundError,
    LayerproofError,
    LimitExceededError,
    ProtocolError,
    UnreachableError,
)
from layerproof.model.digest import Digest
from layerproof.model.image import Descriptor
from layerproof.oci.limits import Limits
from layerproof.sources.registry.client import CHUNK_BYTES, ManifestAnswer, RegistryClient
from layerproof.sources.registry.credentials import NoCredentials
from layerproof.sources.registry.exchange import Exchange
from layerproof.sources.registry.names import endpoints
from layerproof.sources.registry.settings import RegistrySettings, Retry

Answer = Callable[[httpx.Request], httpx.Response]
LIMITS = Limits(json_bytes=1000, blob_bytes=10 << 20)


class Body(httpx.AsyncByteStream):
    """A body in pieces, which may end in an error."""

    def __init__(self, pieces: Sequence[bytes], error: Exception | None = None) -> None:
        self.pieces = pieces
        self.error = error
        self.closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            yield piece
        if self.error is not None:
            raise self.error

    async def aclose(self) -> None:
        self.closed = True


class Case:
    """A client over answers that are given in turn; the last one answers all that follow."""

    def __init__(self, *answers: Answer, mirrors: tuple[str, ...] = ()) -> None:
        self.answers = list(answers)
        self.seen: list[httpx.Request] = []
        self.now = 0.0
        settings = RegistrySettings(
            mirrors={"r.example": mirrors}, retry=Retry(attempts=3, backoff=1.0)
        )
        self.waits: list[float] = []
        self.client = RegistryClient(
            endpoints("r.example", "app", settings),
            exchange=Exchange(
                settings=settings,
                credentials=NoCredentials(),
                grants={},
                transport=httpx.MockTransport(self.answer),
                monotonic=self.clock,
                sleep=self.sleep,
            ),
            settings=settings,
            limits=LIMITS,
            where="docker://r.example/app:1",
            monotonic=self.clock,
        )

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.seen.append(request)
        step = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return step(request)

    def manifest(self, reference: str = "1") -> ManifestAnswer:
        return asyncio.run(self.client.manifest(reference))

    def blob(self, data: bytes, size: int | None = None) -> bytes:
        return b"".join(self.chunks(data, size))

    def chunks(self, data: bytes, size: int | None = None) -> list[bytes]:
        async def read() -> list[bytes]:
            return [part async for part in self.client.blob(descriptor(data, size), "layer 0")]

        return asyncio.run(read())

    def fails(self, family: type[LayerproofError], match: str, work: Callable[[], object]) -> None:
        with pytest.raises(family, match=match) as caught:
            work()
        assert caught.value.where.startswith("docker://r.example/app:1")
        assert caught.value.remedy

    @property
    def ranges(self) -> list[str | None]:
        return [request.headers.get("Range") for request in self.seen]


def descriptor(data: bytes, size: int | None = None) -> Descriptor:
    return Descriptor("application/x", Digest.of(data), len(data) if size is None else size)


def whole(code: int, data: bytes, headers: Mapping[str, str] | None = None) -> httpx.Response:
    """An answer of known length. (httpx marks answers made from bytes as read.)"""
    own = {"Content-Length": str(len(data)), **(headers or {})}
    return httpx.Response(code, headers=own, stream=Body([data]))


def plain(data: bytes, **headers: str) -> Answer:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _: whole(200, data, names)


def status(code: int) -> Answer:
    return lambda _: whole(code, b"")


def pieces(
    *parts: bytes, error: Exception | None = None, code: int = 200, **headers: str
) -> Answer:
    """A body of unknown length."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _: httpx.Response(code, headers=names, stream=Body(parts, error))


def ranged(data: bytes) -> Answer:
    """What an honest server answers to a range."""

    def answer(request: httpx.Request) -> httpx.Response:
        start = int(request.headers["Range"].removeprefix("bytes=").removesuffix("-"))
        headers = {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"}
        return whole(206, data[start:], headers)

    return answer


CUT = httpx.RemoteProtocolError("peer closed connection")
DATA = bytes(range(256)) * 40

# --- manifests -----------------------------------------------------------------------------------


def test_manifest_of_a_tag_is_named_by_the_digest_of_its_bytes() -> None:
    case = Case(plain(b"{}", Content_Type="application/vnd.x+json; charset=utf-8"))
    assert case.manifest() == ManifestAnswer(b"{}", "application/vnd.x+json", Digest.of(b"{}"))
    (request,) = case.seen
    assert str(request.url) == "https://r.example/v2/app/manifests/1"
    assert "application/vnd.oci.image.index.v1+json" in request.headers["Accept"]


def test_manifest_by_digest_with_other_bytes_is_refused() -> None:
    wanted = Digest.of(b"good")
    case = Case(plain(b"evil", Docker_Content_Digest=wanted))
    case.fails(DigestMismatchError, "delivered", lambda: case.manifest(wanted))


def test_manifest_by_sha512_is_compared_by_sha512() -> None:
    wanted = Digest("sha512:" + hashlib.sha512(b"good").hexdigest())
    assert Case(plain(b"good")).manifest(wanted).digest == wanted
    case = Case(plain(b"evil"))
    case.fails(DigestMismatchError, "sha512", lambda: case.manifest(wanted))


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_manifest_that_contradicts_its_digest_header_is_refused(algorithm: str) -> None:
    claimed = f"{algorithm}:{hashlib.new(algorithm, b'good').hexdigest()}"
    case = Case(plain(b"evil", Docker_Content_Digest=claimed))
    case.fails(DigestMismatchError, "delivered", case.manifest)
    case = Case(plain(b"good", Docker_Content_Digest=claimed))
    assert case.manifest().digest == Digest.of(b"good")


def test_digest_header_that_is_no_digest_is_refused() -> None:
    case = Case(plain(b"{}", Docker_Content_Digest="md5:x"))
    case.fails(ProtocolError, "not a digest", case.manifest)


def test_manifest_that_announces_too_much_is_not_read() -> None:
    body = Body([])
    case = Case(lambda _: httpx.Response(200, headers={"Content-Length": "1001"}, stream=body))
    case.fails(LimitExceededError, "1000 bytes", case.manifest)
    assert body.closed


def test_manifest_without_end_is_bounded() -> None:
    class Endless(Body):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            while True:
                yield b" " * 100

    case = Case(lambda _: httpx.Response(200, stream=Endless([])))
    case.fails(LimitExceededError, "1000 bytes", case.manifest)


def test_manifest_that_breaks_off_is_unreachable() -> None:
    case = Case(pieces(b"{", error=CUT))
    case.fails(UnreachableError, "closed", case.manifest)


def test_head_gives_what_the_registry_claims() -> None:
    claimed = Digest.of(b"x")
    case = Case(
        lambda _: httpx.Response(
            200,
            headers={
                "Docker-Content-Digest": claimed,
                "Content-Length": "7",
                "Content-Type": "a/b",
            },
        )
    )
    head = asyncio.run(case.client.manifest_head("1"))
    assert (head.digest, head.size, head.media_type) == (claimed, 7, "a/b")
    assert case.seen[0].method == "HEAD"


# --- blobs ---------------------------------------------------------------------------------------


def test_blob_is_streamed_in_large_chunks() -> None:
    data = b"x" * 1000
    case = Case(pieces(*[data] * 1000))
    chunks = case.chunks(data * 1000)
    assert b"".join(chunks) == data * 1000
    assert [len(c) >= CHUNK_BYTES for c in chunks] == [True, True, True, False]
    assert max(map(len, chunks)) < CHUNK_BYTES + 1000


def test_dripping_blob_is_handed_on_after_a_while() -> None:
    class Drip(Body):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            for _ in range(4):
                case.now += 3
                yield b"x"

    case = Case(lambda _: httpx.Response(200, stream=Drip([])))
    assert case.chunks(b"xxxx") == [b"xx", b"xx"]


def test_truncated_blob_is_resumed_where_it_broke() -> None:
    case = Case(pieces(DATA[:1000], error=CUT), ranged(DATA))
    assert case.blob(DATA) == DATA
    assert case.ranges == [None, "bytes=1000-"]


def test_every_byte_before_a_cut_counts() -> None:
    cut = [
        pieces(DATA[a : a + 1], error=CUT, code=206, Content_Range=f"bytes {a}-{len(DATA) - 1}/*")
        for a in (1, 2)
    ]
    case = Case(pieces(DATA[:1], error=CUT), *cut, ranged(DATA))
    case.fails(UnreachableError, "closed", lambda: case.blob(DATA))
    assert case.ranges == [None, "bytes=1-", "bytes=2-"]


def test_progress_gives_back_the_attempts() -> None:
    data = b"y" * (5 << 20)

    def megabyte(request: httpx.Request) -> httpx.Response:
        start = int(request.headers.get("Range", "bytes=0-")[6:-1])
        headers = {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"}
        end = start + (1 << 20)
        error = CUT if end < len(data) else None
        code = 206 if start else 200
        return httpx.Response(code, headers=headers, stream=Body([data[start:end]], error))

    case = Case(megabyte)
    assert case.blob(data) == data
    assert len(case.seen) == 5


def test_server_without_ranges_starts_again_and_nothing_comes_twice() -> None:
    data = bytes(range(251)) * 4096
    size = CHUNK_BYTES
    again = pieces(*[data[start : start + size] for start in range(0, len(data), size)])
    case = Case(pieces(data[: 2 * size + 1000], error=CUT), again)
    assert case.blob(data) == data


@pytest.mark.parametrize(
    "content_range",
    [
        f"bytes 999-{len(DATA) - 1}/{len(DATA)}",
        f"bytes 1000-{len(DATA) - 2}/{len(DATA)}",
        f"bytes 1000-{len(DATA) - 1}/{len(DATA) + 1}",
        "bytes 1000-",
        "",
    ],
)
def test_other_range_than_asked_for_is_refused(content_range: str) -> None:
    wrong = pieces(DATA[1000:], code=206, Content_Range=content_range)
    case = Case(pieces(DATA[:1000], error=CUT), wrong)
    case.fails(ProtocolError, "another range", lambda: case.blob(DATA))


@pytest.mark.parametrize("answer", [plain(DATA + b"!"), pieces(DATA, b"!")])
def test_blob_longer_than_its_descriptor_is_refused(answer: Answer) -> None:
    case = Case(answer)
    case.fails(CorruptImageError, "longer than", lambda: case.blob(DATA))


@pytest.mark.parametrize("answer", [plain(DATA[:-1]), pieces(DATA[:-1])])
def test_blob_shorter_than_its_descriptor_is_refused(answer: Answer) -> None:
    case = Case(answer)
    case.fails(CorruptImageError, "shorter than", lambda: case.blob(DATA))


@pytest.mark.parametrize("length", [len(DATA) - 1, len(DATA) + 1])
def test_blob_that_announces_another_length_is_not_read(length: int) -> None:
    def answer(_: httpx.Request) -> httpx.Response:
        headers = {"Content-Length": str(length)}
        return httpx.Response(200, headers=headers, stream=Body([], AssertionError("was read")))

    case = Case(answer)
    case.fails(CorruptImageError, "than the", lambda: case.blob(DATA))


def test_blob_without_end_is_bounded_by_its_descriptor() -> None:
    sent = 0

    class Endless(Body):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            nonlocal sent
            while True:
                sent += 1000
                yield b"x" * 1000

    case = Case(lambda _: httpx.Response(200, stream=Endless([])))
    case.fails(CorruptImageError, "longer than", lambda: case.blob(b"x" * 5000))
    assert sent <= CHUNK_BYTES + 6000


def test_blob_above_the_cap_is_not_asked_for() -> None:
    case = Case(plain(b""))
    case.fails(LimitExceededError, "more than", lambda: case.blob(b"", size=(10 << 20) + 1))
    assert case.seen == []


def test_empty_blob_is_empty() -> None:
    assert Case(plain(b"")).chunks(b"") == []


def test_stopping_early_closes_the_connection() -> None:
    body = Body([DATA[:CHUNK_BYTES]] * 2)
    case = Case(lambda _: httpx.Response(200, stream=body))

    async def first() -> None:
        stream = case.client.blob(descriptor(DATA * 2), "layer 0")
        await anext(stream)
        await stream.aclose()

    asyncio.run(first())
    assert body.closed


def test_config_is_verified_and_bounded() -> None:
    async def config(case: Case, wanted: Descriptor) -> bytes:
        return await case.client.blob_bytes(wanted, "config")

    good = descriptor(b"{}")
    assert asyncio.run(config(Case(plain(b"{}")), good)) == b"{}"
    case = Case(plain(b"[]"))
    case.fails(DigestMismatchError, "delivered", lambda: asyncio.run(config(case, good)))
    large = descriptor(b"x" * 1001)
    case.fails(LimitExceededError, "1000 bytes", lambda: asyncio.run(config(case, large)))


# --- mirrors -------------------------------------------------------------------------------------


def test_mirror_is_asked_first_and_alone_when_it_answers() -> None:
    case = Case(plain(b"{}"), mirrors=("m.example",))
    case.manifest()
    assert [request.url.host for request in case.seen] == ["m.example"]


@pytest.mark.parametrize("failure", [status(404), status(403), status(500), status(302)])
def test_mirror_that_has_it_not_is_passed_over_and_logged(
    failure: Answer, caplog: pytest.LogCaptureFixture
) -> None:
    case = Case(failure, plain(b"{}"), mirrors=("m.example",))
    assert case.manifest().data == b"{}"
    assert [request.url.host for request in case.seen] == ["m.example", "r.example"]
    assert "mirror m.example is passed over" in caplog.text


def test_mirror_that_lies_about_a_digest_is_not_passed_over() -> None:
    case = Case(plain(b"evil"), plain(b"good"), mirrors=("m.example",))
    wanted = Digest.of(b"good")
    case.fails(DigestMismatchError, "delivered", lambda: case.manifest(wanted))


def test_blob_broken_at_a_mirror_goes_on_at_the_registry() -> None:
    cut = pieces(DATA[:1000], error=CUT)
    case = Case(cut, status(404), ranged(DATA), mirrors=("m.example",))
    assert case.blob(DATA) == DATA
    hosts = [request.url.host for request in case.seen]
    assert hosts == ["m.example", "m.example", "r.example"]
    assert case.ranges == [None, "bytes=1000-", "bytes=1000-"]


def test_error_is_the_registrys_own_and_names_the_mirrors() -> None:
    case = Case(status(500), status(404), mirrors=("m.example",))
    case.fails(ImageNotFoundError, "no such image.*m.example: .*HTTP 500", case.manifest)
