"""What a registry lists: repositories and tags. `engine.reconcile.Catalog`.

Source: OCI distribution-spec v1.1 "Listing Tags"; CNCF Distribution HTTP API v2 "Catalog"; RFC 8288
(the next page stands in `Link`).

1. Of the address of a next page only the query counts: no registry leads us elsewhere.
2. Lists are bounded in bytes, pages and names. A list that comes back to where it was, or brings
   nothing new, is an error: a registry that lists without end is cut off, not believed.
3. Names are handed on as they are; whoever uses them checks what they are names of.
"""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx

from layerproof.errors import ImageNotFoundError, ProtocolError
from layerproof.model.digest import Digest
from layerproof.model.reference import parse_reference
from layerproof.sources.registry.client import RegistryClient
from layerproof.sources.registry.conversation import Conversation
from layerproof.sources.registry.names import Endpoint, endpoints
from layerproof.sources.registry.reading import read_document

_PAGE = 1000
MOST_NAMES = 200_000
MOST_PAGES = 2_000
_MOST_QUERY = 4_096


class RegistryCatalog(Conversation):
    """One registry's lists. A context manager; used by one thread."""

    def repositories(self) -> Iterator[str]:
        """All that this account may list, as the registry names it. Raises SourceError,
        LimitExceededError."""
        yield from self._names("_catalog", "/v2/_catalog", "repositories")

    def tags(self, repository: str) -> list[str]:
        """All tags, as the registry names them. Raises SourceError, LimitExceededError,
        ReferenceSyntaxError."""
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
        query = f"n={_PAGE}"
        asked, known = {query}, set[str]()
        for _ in range(MOST_PAGES):
            page, query = self._runner.run(self._page(place, f"{path}?{query}", key))
            new = [name for name in dict.fromkeys(page) if name not in known]
            known.update(new)
            if len(known) > MOST_NAMES:
                raise _endless(f"it has more than {MOST_NAMES} {key}", f"{self._host}{path}")
            yield from new
            if not query:
                return
            if query in asked or (page and not new):
                raise _endless("it goes round in circles", f"{self._host}{path}")
            asked.add(query)
        raise _endless(f"it has more than {MOST_PAGES} pages", f"{self._host}{path}")

    async def _page(self, place: Endpoint, path: str, key: str) -> tuple[list[str], str]:
        """Its names, and the query of the next one; "" after the last one."""
        where = f"{place.host}{path.partition('?')[0]}"
        async with self._exchange.open(place, path, where=where) as response:
            data = await read_document(
                response,
                limit=self._limits.json_bytes,
                seconds=self._settings.timeouts.document,
                where=where,
                host=place.host,
            )
            following = _next_query(response, where)
        return _listed(data, key, where), following


def _next_query(response: httpx.Response, where: str) -> str:
    """Rule 1. Raises ProtocolError."""
    address = response.links.get("next", {}).get("url", "")
    try:
        query = urlsplit(address).query
    except ValueError:
        query = " "
    if address and not (0 < len(query) <= _MOST_QUERY and query.isascii() and query.isprintable()
                        and " " not in query):  # fmt: skip
        raise ProtocolError(
            "the list's next page has no address that can be asked",
            where=where,
            remedy="check the registry",
        )
    return query


def _endless(message: str, where: str) -> ProtocolError:
    return ProtocolError(
        f"the registry's list is not believed: {message}",
        where=where,
        remedy="name repositories in the service's file instead of globs, or check the registry",
    )


def _listed(data: bytes, key: str, where: str) -> list[str]:
    try:
        document: Any = json.loads(data)
        found = document[key]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ProtocolError(
            f"the registry's list has no {key}", where=where, remedy="check the registry"
        ) from error
    names = [] if found is None else found  # a repository without tags has null
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ProtocolError(f"{key} is no list of names", where=where, remedy="check the registry")
    return names


def _checked(host: str, repository: str) -> str:
    """A repository's name that can stand in an address. Raises ReferenceSyntaxError."""
    return parse_reference(f"docker://{host}/{repository}").repository
