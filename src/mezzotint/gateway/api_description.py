"""The API's description (OpenAPI), from which generators make clients."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi


def describe_api(app: FastAPI) -> dict[str, Any]:
    """The description of the application's routes, made once."""
    if app.openapi_schema is None:
        made = get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
        _share_definitions(made)
        app.openapi_schema = made
    return app.openapi_schema


def _share_definitions(description: dict[str, Any]) -> None:
    """Move the definitions of bodies that routes read by themselves to where references look for them."""
    shared = description["components"]["schemas"]
    for operations in description["paths"].values():
        for operation in operations.values():
            for content in operation.get("requestBody", {}).get("content", {}).values():
                shared.update(content.get("schema", {}).pop("$defs", {}))
