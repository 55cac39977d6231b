"""Errors in the shape of the AUTOMATIC1111 API; its clients show `detail`, or the whole text."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from mezzotint.domain.errors import StorageUnavailable
from mezzotint.gateway.errors import Answer, explain, refused_by_framework, unavailable


class SdapiRoute(APIRoute):
    """A route whose errors have that shape."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def shaped(request: Request) -> Response:
            try:
                return await handle(request)
            except Answer as answer:
                return sdapi_error(answer)
            except RequestValidationError as error:
                return sdapi_error(explain(error))
            except StorageUnavailable as error:
                return sdapi_error(unavailable(error))
            except HTTPException as error:
                return sdapi_error(refused_by_framework(error))

        return shaped


def sdapi_error(answer: Answer) -> JSONResponse:
    headers = {name: value for name, value in answer.response().headers.items() if not name.startswith("content-")}
    if answer.status == 401:
        headers["www-authenticate"] = 'Basic realm="mezzotint"'
    body = {"error": answer.code, "detail": f"{answer.message} {answer.hint}".strip(), "body": "", "errors": ""}
    return JSONResponse(body, answer.status, headers)
