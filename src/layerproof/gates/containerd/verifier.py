"""The resident side of the image verifier: one question and one answer per connection.

1. A question is the verifier's arguments, each ended by a NUL, one more NUL, and the descriptor
   that containerd gave it. The answer is `0` (admit) or `1` (refuse), and the reason.
2. `-name`, `-digest` and the descriptor are what containerd is about to fetch. The digest names the
   bytes; what stands twice, is missing or contradicts itself is refused.
3. containerd tells no namespace and no credentials, and asks before it fetches: the index answers.

Source: containerd, docs/image-verification.md and pkg/imageverifier/bindir.
"""

import asyncio
import json
from collections.abc import Callable, Sequence
from contextlib import suppress

from layerproof.errors import LayerproofError
from layerproof.gates.interface import Decider
from layerproof.model.digest import Digest
from layerproof.model.facts import Context
from layerproof.model.gate import Answer, Question
from layerproof.model.reference import parse_name

MOST_QUESTION = 192 * 1024
MOST_ANSWER = 8 * 1024  # containerd reads 32 KiB
_SECONDS = 9.0
_MOST_AT_ONCE = 256
_DESCRIPTOR = "application/vnd.oci.descriptor.v1+json"


class Verifier:
    """Answers connections. `tell` hears of every answer that is no plain admission."""

    def __init__(
        self, decider: Decider, host: str, tell: Callable[[Context, str, Answer], None]
    ) -> None:
        self._decider = decider
        self._context = Context(gate="containerd", host=host)
        self._tell = tell
        self._slots = asyncio.Semaphore(_MOST_AT_ONCE)

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        try:
            async with self._slots, asyncio.timeout(_SECONDS):
                data = await reader.read(MOST_QUESTION)
                while len(data) < MOST_QUESTION and (more := await reader.read(MOST_QUESTION)):
                    data += more
                answer = await self.review(data)
                writer.write(answered(answer))
                await writer.drain()
        except (TimeoutError, OSError):
            pass  # the verifier says then that nobody answered, by its fail mode
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def review(self, data: bytes) -> Answer:
        """What the gate does with a question."""
        name = ""
        try:
            name, question = _question(data, self._context)
            answer = await self._decider.ask(question)
        except LayerproofError as error:
            answer = self._decider.forbid(self._context, error.message, error.remedy, name)
        self._decider.note(self._context, answer)
        if answer.notable:
            self._tell(self._context, name, answer)
        return answer


def answered(answer: Answer) -> bytes:
    """As the verifier reads it."""
    text = "Layerproof: " + (answer.reason or "admitted")
    if answer.remedy:
        text += f" -> {answer.remedy}"
    return (b"0" if answer.admitted else b"1") + text.encode()[:MOST_ANSWER] + b"\n"


def _question(data: bytes, context: Context) -> tuple[str, Question]:
    """The name that was given, and the question. Raises LayerproofError."""
    if len(data) >= MOST_QUESTION:
        raise _Unclear("it is too long")
    head, end, descriptor = data.partition(b"\0\0")
    if not end:
        raise _Unclear("it has no end")
    try:
        given = _flags(head.decode("utf-8").split("\0"))
    except UnicodeDecodeError as error:
        raise _Unclear("it is not UTF-8") from error
    if given.get("stdin-media-type", _DESCRIPTOR) != _DESCRIPTOR:
        raise _Unclear("it comes with another kind of document")
    digest = Digest.parse(given.get("digest"), where="-digest")
    _check(descriptor, digest)
    name = given.get("name", "")
    named = parse_name(name.partition("@")[0])
    full = f"docker://{named.host}/{named.repository}@{digest}"
    return name, Question((full,), context)


def _flags(words: Sequence[str]) -> dict[str, str]:
    """`-name VALUE` and `-name=VALUE`, as Go's flags are written."""
    found: dict[str, str] = {}
    rest = list(words)
    while rest:
        word = rest.pop(0)
        key, equals, value = word.lstrip("-").partition("=")
        if not word.startswith("-") or not key:
            raise _Unclear(f"{word[:40]!r} is no option")
        if not equals:
            if not rest:
                raise _Unclear(f"-{key[:40]} has no value")
            value = rest.pop(0)
        if key in found:
            raise _Unclear(f"-{key[:40]} stands twice")
        found[key] = value
    return found


def _check(descriptor: bytes, digest: Digest) -> None:
    """That the descriptor names the same bytes, where there is one."""
    if not descriptor.strip():
        return
    try:
        pairs = json.loads(descriptor, object_pairs_hook=list)
        keys = [key.casefold() for key, _ in pairs]
        found = dict(pairs)
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise _Unclear("its descriptor is no JSON object") from error
    if len(set(keys)) != len(keys):
        raise _Unclear("a key stands twice in its descriptor")
    if found.get("digest") != digest:
        raise _Unclear("its descriptor has another digest")


class _Unclear(LayerproofError):
    """A question that cannot be read with certainty."""

    code = "unclear-question"

    def __init__(self, what: str) -> None:
        super().__init__(
            f"containerd's question cannot be judged: {what}", remedy="see docs/how-to"
        )
