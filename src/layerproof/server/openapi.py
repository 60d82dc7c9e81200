"""How routes describe themselves: schemas of answers, and the errors that every route may give."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from layerproof import __version__
from layerproof.report.output_schema import output_schema
from layerproof.report.service_schema import page_of, service_schemas
from layerproof.server.problems import MEDIA_TYPE, PROBLEM_SCHEMA

_PROBLEM = {"content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}}
_ERRORS = {
    400: "The request cannot be understood.",
    401: "There is no token, or it is not good.",
    403: "The token's role does not allow this.",
    404: "There is no such thing.",
    409: "It does not fit what is there.",
    413: "The request is too large.",
    415: "The request is of another type.",
    422: "The request cannot be carried out.",
    429: "Too many requests.",
    502: "A registry did not deliver.",
    503: "The index cannot be reached.",
}
PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"description": text, **_PROBLEM} for status, text in _ERRORS.items()
}


def one(kind: str, *, status: int = 200, description: str = "") -> dict[int | str, dict[str, Any]]:
    """The answer is one document of this kind."""
    return _answer(status, {"$ref": f"#/components/schemas/{kind}"}, description or kind)


def page(kind: str) -> dict[int | str, dict[str, Any]]:
    """The answer is a page of documents of this kind."""
    return _answer(200, page_of(kind), f"A page of {kind}")


def _answer(
    status: int, schema: dict[str, Any], description: str
) -> dict[int | str, dict[str, Any]]:
    content = {"application/json": {"schema": schema}}
    return {status: {"description": description, "content": content}, **PROBLEMS}


def openapi_of(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document (OpenAPI Specification 3.1), made once."""
    if app.openapi_schema is None:
        document = get_openapi(
            title="Layerproof",
            version=__version__,
            summary="Keeps container images honest, layer by layer",
            description="Every list comes in pages: ask for the next with `after`. Errors are"
            " problem details (RFC 9457). Tokens go into the header Authorization.",
            routes=app.routes,
        )
        components = document.setdefault("components", {})
        components["schemas"] = {
            **_plain(components.get("schemas", {})),
            **_rewritten(output_schema()["$defs"]),
            **service_schemas(),
            "Problem": PROBLEM_SCHEMA,
        }
        components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        _secure(document)
        app.openapi_schema = document
    return app.openapi_schema


def _plain(schemas: dict[str, Any]) -> dict[str, Any]:
    """Without FastAPI's own errors: ours are problem details."""
    return {
        name: schema
        for name, schema in schemas.items()
        if name not in ("HTTPValidationError", "ValidationError")
    }


def _rewritten(node: Any) -> Any:
    """References of JSON Schema's `$defs` as OpenAPI has them."""
    if isinstance(node, dict):
        return {
            key: value.replace("#/$defs/", "#/components/schemas/")
            if key == "$ref"
            else _rewritten(value)
            for key, value in node.items()
        }
    return [_rewritten(item) for item in node] if isinstance(node, list) else node


def _secure(document: dict[str, Any]) -> None:
    for path, item in document["paths"].items():
        for operation in item.values():
            # FastAPI describes its own form of errors under 422 where none is given.
            if "security" not in operation and not operation.get("x-public"):
                operation["security"] = [{"token": []}]
            operation.setdefault("operationId", path)
