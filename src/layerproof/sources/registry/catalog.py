"""What a registry lists: repositories and tags. `engine.reconcile.Catalog`.

Source: OCI distribution-spec v1.1 "Listing Tags"; CNCF Distribution HTTP API v2 "Catalog" (`n` and
`last`). Lists are bounded, names are checked: a registry that lists without end is cut off by an
error, not believed.
"""

import asyncio
import json
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Any
from urllib.parse import quote

import httpx

from layerproof.errors import ImageNotFoundError, LimitExceededError, ProtocolError
from layerproof.model.digest import Digest
from layerproof.model.reference import parse_reference
from layerproof.oci.limits import Limits
from layerproof.sources.registry.answers import transport_failure
from layerproof.sources.registry.client import RegistryClient
from layerproof.sources.registry.credentials import CredentialProvider
from layerproof.sources.registry.exchange import Exchange
from layerproof.sources.registry.names import Endpoint, endpoints
from layerproof.sources.registry.settings import RegistrySettings
from layerproof.sources.registry.transport import RegistryTransport

_PAGE = 1000
MOST_NAMES = 200_000


class RegistryCatalog:
    """One registry's lists. A context manager; used by one thread."""

    def __init__(
        self,
        host: str,
        *,
        limits: Limits,
        credentials: CredentialProvider,
        settings: RegistrySettings,
    ) -> None:
        self._host = host
        self._limits = limits
        self._settings = settings
        self._runner = asyncio.Runner()
        self._exchange = Exchange(
            settings=settings,
            credentials=credentials,
            grants={},
            transport=RegistryTransport(),
            monotonic=time.monotonic,
        )

    def __enter__(self) -> "RegistryCatalog":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._runner as runner:
            runner.run(self._exchange.aclose())

    def repositories(self) -> Iterator[str]:
        """All that this account may list. Raises SourceError, LimitExceededError."""
        yield from self._names("_catalog", "/v2/_catalog", "repositories")

    def tags(self, repository: str) -> list[str]:
        """All tags. Raises SourceError, LimitExceededError."""
        path = f"/v2/{repository}/tags/list"
        return list(self._names(_checked(self._host, repository), path, "tags"))

    def digest_of(self, repository: str, tag: str) -> Digest | None:
        """What the tag names now, as the registry says. None if it does not, or the tag is gone."""
        client = RegistryClient(
            endpoints(self._host, repository, self._settings),
            exchange=self._exchange,
            settings=self._settings,
            limits=self._limits,
            where=f"{self._host}/{repository}:{tag}",
        )
        try:
            return self._runner.run(client.manifest_head(tag)).digest
        except ImageNotFoundError:
            return None  # deleted since it was listed

    def _names(self, repository: str, path: str, key: str) -> Iterator[str]:
        place = endpoints(self._host, repository, self._settings)[-1]
        count, last = 0, ""
        while True:
            after = f"&last={quote(last, safe='')}" if last else ""
            page, more = self._runner.run(self._page(place, f"{path}?n={_PAGE}{after}", key))
            for name in page:
                count += 1
                if count > MOST_NAMES:
                    raise LimitExceededError(
                        f"more than {MOST_NAMES} names", limit="json_bytes", where=place.name
                    )
                yield name
            if not more or not page or page[-1] == last:
                return
            last = page[-1]

    async def _page(self, place: Endpoint, path: str, key: str) -> tuple[list[str], bool]:
        where = f"{place.host}{path.partition('?')[0]}"
        data = bytearray()
        async with self._exchange.open(place, path, where=where) as response:
            try:
                async with asyncio.timeout(self._settings.timeouts.document):
                    async for part in response.aiter_raw():
                        data += part
                        if len(data) > self._limits.json_bytes:
                            raise LimitExceededError(
                                f"more than {self._limits.json_bytes} bytes",
                                limit="json_bytes",
                                where=where,
                            )
            except httpx.TransportError as exc:
                raise transport_failure(exc, where=where, host=place.host) from exc
            except TimeoutError as exc:
                slow = httpx.ReadTimeout(f"not complete after {self._settings.timeouts.document}")
                raise transport_failure(slow, where=where, host=place.host) from exc
            more = 'rel="next"' in response.headers.get("Link", "")
        return _listed(bytes(data), key, where), more


def _listed(data: bytes, key: str, where: str) -> list[str]:
    try:
        document: Any = json.loads(data)
        found = document[key]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ProtocolError(
            f"the registry's list has no {key}", where=where, remedy="check the registry"
        ) from error
    names = found or []  # a repository without tags has null
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ProtocolError(f"{key} is no list of names", where=where, remedy="check the registry")
    return [name for name in names if 0 < len(name) <= 255 and name.isprintable()]


def _checked(host: str, repository: str) -> str:
    """A repository's name that can stand in an address. Raises ReferenceSyntaxError."""
    return parse_reference(f"docker://{host}/{repository}").repository
