"""`oci:DIR[:TAG]`: an OCI image layout in a folder."""

from layerproof.model.reference import Reference
from layerproof.oci.limits import Limits
from layerproof.sources._files import FolderFiles
from layerproof.sources._layout import LayoutSource


class OciLayoutSource(LayoutSource):
    """Reads blobs where they are; nothing is copied."""

    def __init__(self, reference: Reference, limits: Limits) -> None:
        files = FolderFiles(reference.path, where=str(reference), limits=limits)
        super().__init__(reference, files, limits)
