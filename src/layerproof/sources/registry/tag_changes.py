"""Tags of one registry: what they name, and changing that.

Source: OCI distribution-spec v1.1, "Pushing manifests", "Deleting tags", "Deleting manifests".
"""

from collections.abc import Mapping
from dataclasses import replace

from layerproof.engine.responder import TaggedManifest
from layerproof.errors import (
    ImageNotFoundError,
    ProtocolError,
    UnsupportedError,
)
from layerproof.model.digest import Digest
from layerproof.sources.registry.client import RegistryClient
from layerproof.sources.registry.conversation import Conversation
from layerproof.sources.registry.names import Endpoint, endpoints


class RegistryTags(Conversation):
    """Implements `engine.responder.Tags`. A context manager; used by one thread."""

    def manifest(self, repository: str, tag: str) -> TaggedManifest | None:
        """What the tag names, checked; None if it is gone. Raises SourceError."""
        client = RegistryClient(
            (self._place(repository),),
            exchange=self._exchange,
            settings=self._settings,
            limits=self._limits,
            where=f"{self._host}/{repository}:{tag}",
        )
        try:
            found = self._runner.run(client.manifest(tag))
        except ImageNotFoundError:
            return None
        return TaggedManifest(found.data, found.media_type, found.digest)

    def put(self, repository: str, tag: str, manifest: TaggedManifest) -> None:
        """Let the tag name the manifest. Raises SourceError."""
        self._runner.run(
            self._change(
                "PUT", repository, tag, {"Content-Type": manifest.media_type}, manifest.data
            )
        )

    def delete(self, repository: str, reference: str | Digest) -> None:
        """Delete a tag, or a manifest with all its tags. Raises UnsupportedError where the registry
        does not do that, SourceError. What is gone already is no error."""
        try:
            self._runner.run(self._change("DELETE", repository, str(reference), {}, None))
        except ImageNotFoundError:
            return
        except ProtocolError as error:
            raise UnsupportedError(
                "the registry does not delete that", where=error.where, remedy=error.remedy
            ) from error

    async def _change(
        self,
        method: str,
        repository: str,
        reference: str,
        headers: Mapping[str, str],
        content: bytes | None,
    ) -> None:
        place = self._place(repository)
        where = f"{place.name}:{reference}"
        async with self._exchange.open(
            place, f"manifests/{reference}", method=method, headers=headers, content=content,
            where=where,
        ) as response:  # fmt: skip
            await response.aread()

    def _place(self, repository: str) -> Endpoint:
        """The registry itself: mirrors are only read."""
        place = endpoints(self._host, repository, self._settings)[-1]
        return replace(place, actions="pull,push,delete")
