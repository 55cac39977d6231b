"""The API's description (OpenAPI), from which generators make clients."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi


def describe_api(app: FastAPI) -> dict[str, Any]:
    """The description of the application's routes, made once."""
    if app.openapi_schema is None:
        made = get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
        _share_definitions(made)
        _describe_head(made["paths"])
        app.openapi_schema = made
    return app.openapi_schema


def _share_definitions(description: dict[str, Any]) -> None:
    """Move the definitions of bodies that routes read by themselves to where references look for them."""
    shared = description["components"]["schemas"]
    for operations in description["paths"].values():
        for operation in operations.values():
            for content in operation.get("requestBody", {}).get("content", {}).values():
                shared.update(content.get("schema", {}).pop("$defs", {}))


def _describe_head(paths: dict[str, Any]) -> None:
    """Describe HEAD where clients use it: to learn whether a picture is there, and how large it is."""
    read = paths["/i/{name}"]["get"]
    answers = {status: {"description": answer["description"]} for status, answer in read["responses"].items()}
    told = {"operationId": "check_image", "summary": "Check Image", "description": "The headers alone."}
    paths["/i/{name}"]["head"] = {"tags": read["tags"], **told, "parameters": read["parameters"], "responses": answers}
