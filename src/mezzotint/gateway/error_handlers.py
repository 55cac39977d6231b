"""Translates exceptions into error responses: for the whole application, and for routes in another API's shape."""

import re
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from fastapi import FastAPI, Request, Response, WebSocket
from fastapi.exceptions import RequestValidationError, WebSocketRequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.types import Scope

from mezzotint.domain.errors import MezzotintError, StorageUnavailable
from mezzotint.gateway.allowed_methods import find_allowed_methods
from mezzotint.gateway.bodies.json_values import JSON_HINT
from mezzotint.gateway.errors import ApiError
from mezzotint.gateway.middleware.security_headers import HEADERS, NO_STORE, REQUEST_ID

BRANCH = re.compile(r"str|int|float|bool|[a-z]+\[.*|[A-Z]\w*", re.DOTALL)
"""Names of kinds of values, which pydantic puts into an error's place where a field takes several kinds."""
EXPECTED = (ApiError, RequestValidationError, StorageUnavailable, HTTPException)


def install_error_handlers(app: FastAPI, format_error: Callable[[Scope, ApiError], Response]) -> None:
    """Answer every exception that no route's own class answers. format_error: in the shape of the address's API."""

    async def answer_expected(request: Request, error: Exception) -> Response:
        answer = translate_exception(error)
        if answer.code == "method_not_allowed":  # the framework names the methods of one route alone
            allowed = find_allowed_methods(request.app.routes, request.scope)
            answer.allow = ", ".join(sorted(allowed)) or answer.allow
        return format_error(request.scope, answer)

    async def refuse_socket(websocket: WebSocket, error: Exception) -> None:
        await websocket.send_denial_response(format_error(websocket.scope, translate_exception(error)))

    async def answer_internal_error(request: Request, error: Exception) -> JSONResponse:
        # outside of the middleware that puts headers on answers; the server then raises it again for its log
        response = ApiError("internal_error", hint=MezzotintError.hint).response()
        id = request.scope.get(REQUEST_ID, "")
        response.headers.update({**HEADERS, "Cache-Control": NO_STORE, "X-Request-Id": id})
        return response

    for kind in EXPECTED:
        app.add_exception_handler(kind, answer_expected)
    app.add_exception_handler(WebSocketRequestValidationError, refuse_socket)
    app.add_exception_handler(Exception, answer_internal_error)


def build_route_class(format_error: Callable[[ApiError], Response]) -> type[APIRoute]:
    """Build a class of routes that answer errors in another API's shape."""

    class ShapedRoute(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handle = super().get_route_handler()

            async def handle_in_shape(request: Request) -> Response:
                try:
                    return await handle(request)
                except EXPECTED as error:
                    return format_error(translate_exception(error))

            return handle_in_shape

    return ShapedRoute


def translate_exception(error: Exception) -> ApiError:
    """error: one of `EXPECTED`."""
    match error:
        case ApiError():
            return error
        case RequestValidationError() | WebSocketRequestValidationError():
            return _translate_validation_error(error)
        case StorageUnavailable():
            return ApiError(error.code, hint=error.hint, message=str(error))
        case HTTPException(status_code=400):
            return ApiError("body_invalid", hint="Send UTF-8 JSON.")
        case HTTPException(status_code=405):
            answer = ApiError("method_not_allowed", hint="The API is described at /openapi.json.")
            answer.allow = (error.headers or {}).get("Allow")
            return answer
        case HTTPException():
            return ApiError("not_found", hint="The API is described at /openapi.json.")
        case _:
            raise error


def _choose_error(errors: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The first error; where a field takes values of several kinds, the error of the kind that came furthest."""
    same_field = [one for one in errors if one["loc"][:2] == errors[0]["loc"][:2]]
    return max(same_field, key=lambda one: len(one["loc"]))


def _translate_validation_error(error: RequestValidationError | WebSocketRequestValidationError) -> ApiError:
    first = _choose_error(error.errors())
    where = [str(part) for part in first["loc"]]
    names = [part for part in first["loc"][1:] if isinstance(part, str)]  # what is wrong in a list is named by the list
    if first["type"] != "extra_forbidden":  # a client may call a field that there is not as it likes
        names = [name for name in names if not BRANCH.fullmatch(name)] or names
    # a client's own field name is sent back: bounded, without lone surrogates
    field = names[-1][:80].encode("utf-8", "replace").decode() if names else None
    docs = "See docs/reference/api.md or /openapi.json."
    if first["type"] == "json_invalid":
        return ApiError("body_invalid", hint=JSON_HINT)
    if where == ["body"] and isinstance(first.get("input"), bytes):  # the framework parses what is declared as JSON
        return ApiError(
            "body_invalid", message="The body is not declared as JSON.", hint="Send Content-Type: application/json."
        )
    if first["type"] == "missing" and where == ["body"]:
        return ApiError("body_missing", hint=JSON_HINT)
    if first["type"] == "extra_forbidden":
        return ApiError("field_unknown", message=f'There is no field "{field}".', hint=docs, param=field)
    message = f'"{field}": {first["msg"]}.' if field else f"{first['msg']}."
    return ApiError("field_invalid", message=message, hint=docs, param=field)
