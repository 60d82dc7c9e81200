"""A bare path that exists is recognised by its contents; everything else is a written reference.

- a folder with `oci-layout` is an OCI layout;
- a tar with `manifest.json` is a docker-archive, also when an OCI layout stands beside it;
- a tar with `oci-layout` or `index.json` is an OCI archive;
- any other tar is a root file system. The first member that lies in a top folder of the usual
  root file systems decides, so that a large one need not be walked to its end.

A text with a transport is never taken for a path. A folder that is no layout is only an error
when the text can be nothing but a path (`./python`); `python` alone is then the registry's.
"""

import os
from contextlib import closing

from layerproof.errors import ReferenceSyntaxError, TarError
from layerproof.model.reference import (
    DOCKER_ARCHIVE,
    OCI,
    OCI_ARCHIVE,
    ROOTFS,
    Reference,
    has_transport,
    parse_reference,
)
from layerproof.oci.decompress import compression
from layerproof.oci.limits import Limits
from layerproof.sources._files import decompressed_file, open_file
from layerproof.sources._members import FileInput, Input, StreamInput, read_at, scan

_USUAL = (
    "bin boot dev etc home lib lib32 lib64 media mnt opt proc root run sbin srv sys tmp usr var"
)
_ROOT_FOLDERS = frozenset(_USUAL.split())

_LIMITS = Limits()


def read_reference(text: str, limits: Limits = _LIMITS) -> Reference:
    """What the user typed, as a reference. Looks at the file system for bare paths only.

    Raises ReferenceSyntaxError, and what a damaged archive raises.
    """
    if not has_transport(text):
        if os.path.isfile(text):
            return Reference(_recognise(text, limits), path=text)
        if os.path.isfile(os.path.join(text, "oci-layout")):
            return Reference(OCI, path=text)
        if os.path.isdir(text) and text.startswith(("/", "./", "../")):
            raise ReferenceSyntaxError(
                "a folder, but no OCI layout",
                where=text,
                remedy="an OCI layout has a file oci-layout; pack other folders into a tar",
            )
    return parse_reference(text)


def _recognise(file: str, limits: Limits) -> str:
    """The transport for an archive."""
    descriptor, size = open_file(file, file)
    try:
        if not size:
            raise _no_tar(file)
        if compression(read_at(descriptor, 0, min(size, 4), file)) == "none":
            return _kind(FileInput(descriptor, size, file), file, limits)
    finally:
        os.close(descriptor)
    with closing(decompressed_file(file, where=file, limits=limits)) as chunks:
        return _kind(StreamInput(chunks, file), file, limits)


def _kind(source: Input, file: str, limits: Limits) -> str:
    kind = ROOTFS
    try:
        for member in scan(source, where=file, limits=limits):
            if member.name == "manifest.json":
                return DOCKER_ARCHIVE
            if member.name in ("oci-layout", "index.json"):
                kind = OCI_ARCHIVE
            if member.name.partition("/")[0] in _ROOT_FOLDERS:
                return ROOTFS
    except TarError as error:
        if error.offset:
            raise
        raise _no_tar(file) from error
    return kind


def _no_tar(file: str) -> ReferenceSyntaxError:
    return ReferenceSyntaxError(
        "neither an image archive nor a tar",
        where=file,
        remedy="Layerproof reads docker-archive, oci-archive and root-file-system tars, "
        "bare or compressed with gzip or zstd",
    )
