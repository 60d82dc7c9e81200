"""Search: which layers hold or change a path, a package or a file, and where they are used."""

from typing import Annotated, Any

from fastapi import APIRouter, Query

from layerproof.engine.search import LIMIT, find_file, find_package, find_path
from layerproof.oci.tarnames import clean_path
from layerproof.report.service_documents import found_page
from layerproof.server.openapi import page
from layerproof.server.problems import Problem
from layerproof.server.routes._common import The, Viewer

router = APIRouter(tags=["search"])
Most = Annotated[int, Query(ge=1, le=500, description="How many layers at most.")]


@router.get("/search", responses=page("Found"))
def search(
    service: The,
    _: Viewer,
    path: Annotated[str, Query(max_length=4096, description="An absolute path.")] = "",
    package: Annotated[str, Query(max_length=500, description="A name, or NAME@VERSION.")] = "",
    file: Annotated[str, Query(max_length=71, description="A sha256, of a file's bytes.")] = "",
    limit: Most = LIMIT,
) -> dict[str, Any]:
    """Layers that hold or change what is asked for: a path, a package, or a file; one of them.

    The last ones indexed; `more` says whether there are others, here and at each layer's images."""
    if sum(map(bool, (path, package, file))) != 1:
        raise Problem(
            400, "bad-search", "ask for a path, a package or a file", where="query",
            remedy="for example: /api/v1/search?path=/etc/shadow",
        )  # fmt: skip
    index = service.stores.index
    if path:
        if not path.startswith("/"):
            raise Problem(
                400, "bad-search", "paths in an image start at its root", where="path",
                remedy=f"for example: /{path}"[:200],
            )  # fmt: skip
        answer = find_path(index, clean_path(path.encode("utf-8", "surrogateescape")), limit)
    elif package:
        # A scoped npm name begins with the sign that parts name and version.
        plain, _at, version = package[1:].partition("@")
        answer = find_package(index, package[:1] + plain, version, limit)
    else:
        answer = find_file(index, _sha256(file), limit)
    return found_page(answer)


def _sha256(text: str) -> bytes:
    plain = text.removeprefix("sha256:")
    if len(plain) != 64 or not set(plain) <= set("0123456789abcdef"):
        raise Problem(400, "bad-search", "this is not a sha256", where="file",
                      remedy="give 64 hexadecimal digits")  # fmt: skip
    return bytes.fromhex(plain)
