"""Small answers, whole: bounded in bytes and in time, whatever the registry sends."""

import asyncio

import httpx

from layerproof.errors import LimitExceededError, UnreachableError
from layerproof.sources.registry.answers import transport_failure


async def read_document(
    response: httpx.Response, *, limit: int, seconds: float, where: str, host: str
) -> bytes:
    """The body. Raises LimitExceededError beyond `limit` bytes, UnreachableError."""
    if (length_of(response) or 0) > limit:
        raise too_large("json_bytes", limit, where)
    data = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for part in response.aiter_raw():
                data += part
                if len(data) > limit:
                    raise too_large("json_bytes", limit, where)
    except httpx.TransportError as exc:
        raise transport_failure(exc, where=where, host=host) from exc
    except TimeoutError as exc:
        raise too_slow(seconds, where) from exc
    return bytes(data)


def length_of(response: httpx.Response) -> int | None:
    """What the answer says its length is; None where it does not, or not as a length."""
    text = response.headers.get("Content-Length", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else None


def too_large(limit: str, value: int, where: str) -> LimitExceededError:
    """For what has more bytes than it may."""
    return LimitExceededError(f"more than {value} bytes", limit=limit, where=where)


def too_slow(seconds: float, where: str) -> UnreachableError:
    """For what did not arrive whole in time."""
    return UnreachableError(
        f"not complete after {seconds:g} s",
        where=where,
        remedy="try again later, or check the network",
    )
