"""The gateway for fuzzed requests: its parts as `serve` puts them together, without a worker or rate limits."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from mezzotint.gateway import Service
from mezzotint.gateway.rate_limits import RateLimits
from mezzotint.media.uploads.decoder_pool import DecoderPool
from mezzotint.store import Database
from tests.unit.gateway.conftest import service_on


@asynccontextmanager
async def served(folder: Path, address: str | None) -> AsyncIterator[Service]:
    """address: of a PostgreSQL database; None: SQLite in the folder."""
    database = Database(address or folder / "mezzotint.db")
    await asyncio.to_thread(database.migrate)
    with closing(DecoderPool()) as decoders:
        service = service_on(database, folder, decoders)
        accounts = replace(service.accounts, can_sign_up=True)
        yield replace(service, accounts=accounts, rate_limits=RateLimits(scale=0, per_address=0))
    await database.close()


def routes_of(app: Any) -> list[str]:
    """Every route, the page's files and the API's description included; not those that make others wait."""
    found = {"GET /", "GET /openapi.json", "GET /assets/{file}"}
    for included in app.routes:
        for route in getattr(getattr(included, "original_router", None), "routes", []):
            methods = getattr(route, "methods", None) or {"WEBSOCKET"}
            found |= {f"{method} {route.path.replace(':path}', '}')}" for method in methods - {"HEAD", "OPTIONS"}}
    return sorted(found)
