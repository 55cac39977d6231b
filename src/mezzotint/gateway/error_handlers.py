"""Routes of APIs that are not ours: whatever goes wrong is told in the shape of the API that was called."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from mezzotint.domain.errors import StorageUnavailable
from mezzotint.gateway.errors import (
    ApiError,
    translate_http_exception,
    translate_storage_error,
    translate_validation_error,
)


def build_route_class(shape: Callable[[ApiError], Response]) -> type[APIRoute]:
    """A class of routes. shape: an error as that API would answer it."""

    class ShapedRoute(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handle = super().get_route_handler()

            async def shaped(request: Request) -> Response:
                try:
                    return await handle(request)
                except ApiError as answer:
                    return shape(answer)
                except RequestValidationError as error:
                    return shape(translate_validation_error(error))
                except StorageUnavailable as error:
                    return shape(translate_storage_error(error))
                except HTTPException as error:
                    return shape(translate_http_exception(error))

            return shaped

    return ShapedRoute
