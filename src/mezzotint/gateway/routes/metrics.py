"""`GET /metrics`, for operators: with a scrape token, or from this machine while none is set."""

import hmac

import structlog
from fastapi import APIRouter, Request, Response

from mezzotint.actions.maintain import measure_fleet, measure_queue
from mezzotint.domain.errors import StorageUnavailable
from mezzotint.gateway.dependencies import Bearer, ServiceDep
from mezzotint.gateway.errors import ApiError
from mezzotint.gateway.routes.about import is_local

router = APIRouter()
log = structlog.get_logger()
TEXT = "text/plain; version=0.0.4; charset=utf-8"


@router.get("/metrics", include_in_schema=False)
async def metrics(request: Request, service: ServiceDep, credentials: Bearer) -> Response:
    """Counters and times of this process, the queue's length and the fleet's numbers; see docs/reference/metrics.md."""
    sent = credentials.credentials if credentials is not None else ""
    token = service.metrics_token
    is_allowed = is_local(request) if token is None else hmac.compare_digest(sent.encode(), token.encode())
    if not is_allowed:
        hint = "Set MEZZOTINT_METRICS_TOKEN and send it as a bearer token."
        raise ApiError("operators_only", hint=hint)
    try:
        await measure_queue(service.backing, service.now())
        await measure_fleet(service.backing.metrics, service.fleet_counts)
    except StorageUnavailable as error:  # what this process counted is worth most while its database is away
        log.warning("queue not counted", why=str(error))
    return Response(service.backing.metrics.text(), media_type=TEXT)
