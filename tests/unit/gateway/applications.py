"""Applications that share their routes."""

from functools import cache

from fastapi import FastAPI
from starlette.routing import BaseRoute

from mezzotint.gateway import Service, create_app


def make_app(service: Service) -> FastAPI:
    """Make a service's application with the routes that all applications of the process share.

    FastAPI builds a route when a request is first compared with it, which takes 0.4 s for all of them. Routes know no
    service, nor does the API's description.
    """
    app = create_app(service)
    app.router.routes[:] = _share_routes()
    return app


@cache
def _share_routes() -> tuple[BaseRoute, ...]:
    return tuple(create_app(None).router.routes)
