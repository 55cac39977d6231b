"""Routes of APIs that are not ours: whatever goes wrong is told in the shape of the API that was called."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from mezzotint.domain.errors import StorageUnavailable
from mezzotint.gateway.errors import Answer, explain, refused_by_framework, unavailable


def route_shaped_by(shape: Callable[[Answer], Response]) -> type[APIRoute]:
    """A class of routes. shape: an error as that API would answer it."""

    class ShapedRoute(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handle = super().get_route_handler()

            async def shaped(request: Request) -> Response:
                try:
                    return await handle(request)
                except Answer as answer:
                    return shape(answer)
                except RequestValidationError as error:
                    return shape(explain(error))
                except StorageUnavailable as error:
                    return shape(unavailable(error))
                except HTTPException as error:
                    return shape(refused_by_framework(error))

            return shaped

    return ShapedRoute
