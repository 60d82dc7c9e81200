"""`oci-archive:FILE[:TAG]`: an OCI image layout in a tar, compressed or not."""

from layerproof.model.reference import Reference
from layerproof.oci.limits import Limits
from layerproof.sources._files import ArchiveFiles
from layerproof.sources._layout import LayoutSource


class OciArchiveSource(LayoutSource):
    """Random access by member offsets; a compressed archive is streamed."""

    def __init__(self, reference: Reference, limits: Limits) -> None:
        files = ArchiveFiles(reference.path, where=str(reference), limits=limits)
        super().__init__(reference, files, limits)
