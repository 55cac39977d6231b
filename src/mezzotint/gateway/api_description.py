"""The API's description (OpenAPI), from which generators make clients."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi


def describe_api(app: FastAPI) -> dict[str, Any]:
    """The description of the application's routes, made once."""
    if app.openapi_schema is None:
        made = get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
        shared, paths = made["components"]["schemas"], made["paths"]
        for operation in [operation for operations in paths.values() for operation in operations.values()]:
            # references look here for the definitions of bodies that routes read by themselves
            for content in operation.get("requestBody", {}).get("content", {}).values():
                shared.update(content.get("schema", {}).pop("$defs", {}))
        read = paths["/i/{name}"]["get"]  # clients send HEAD to learn whether a picture is there, and how large it is
        answers = {status: {"description": answer["description"]} for status, answer in read["responses"].items()}
        told = {"operationId": "check_image", "summary": "Check Image", "description": "The headers alone."}
        more = {"tags": read["tags"], "parameters": read["parameters"], "responses": answers}
        paths["/i/{name}"]["head"] = told | more
        app.openapi_schema = made
    return app.openapi_schema
