"""Routes of webhooks: URLs of the caller that receive a message when one of the caller's jobs ends."""

import secrets
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, ConfigDict, Field

from mezzotint.domain.ids import WebhookId
from mezzotint.domain.job import JobState
from mezzotint.domain.webhook import Webhook
from mezzotint.gateway.auth.ownership import Of, Whose, find_webhook, list_owners
from mezzotint.gateway.dependencies import CallerClaims, ServiceDep
from mezzotint.gateway.errors import ApiError
from mezzotint.gateway.safe_http import MAX_URL
from mezzotint.gateway.schemas import describe_errors
from mezzotint.policy.visibility import Access

router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"], responses=describe_errors(401, 403, 422, 503))
Id = Annotated[str, Path(description="the webhook's id", max_length=64)]
MOST = 10
SHOWN = 50


class NewWebhook(BaseModel):
    model_config = ConfigDict(extra="forbid")

    url: str = Field(max_length=MAX_URL, description="https://, at a public address")


class WebhookView(BaseModel):
    id: str
    url: str
    owner: str | None = Field(description="as of jobs")
    created_at: datetime
    disabled_at: datetime | None = Field(description="set when the receiver answered 410; nothing is sent any more")

    @classmethod
    def of(cls, webhook: Webhook) -> "WebhookView":
        fields = {name: getattr(webhook, name) for name in ("id", "url", "created_at", "disabled_at")}
        return cls(owner=webhook.owner or None, **fields)


class WebhookList(BaseModel):
    webhooks: list[WebhookView]


class MadeWebhook(WebhookView):
    secret: str = Field(description="`whsec_...`: checks the signatures, as Standard Webhooks say")


class DeliveryView(BaseModel):
    job_id: str
    state: JobState
    attempts: int
    next_at: datetime | None = Field(description="of the next try; null when delivered or given up")
    delivered_at: datetime | None
    status: int | None = Field(description="what the receiver answered last")
    failure: str | None = Field(description="why there was no answer")


class WebhookDetail(WebhookView):
    deliveries: list[DeliveryView] = Field(description="the newest first, at most 50")


@router.get("")
async def list_webhooks(service: ServiceDep, claims: CallerClaims, of: Of = Whose.MINE) -> WebhookList:
    """Your webhooks, oldest first."""
    found = await service.webhook_sender.webhooks.of_tenant(claims.tenant, list_owners(claims, of))
    return WebhookList(webhooks=[WebhookView.of(one) for one in found])


@router.post("", status_code=201, responses=describe_errors(400, 413))
async def create_webhook(body: NewWebhook, service: ServiceDep, claims: CallerClaims) -> MadeWebhook:
    """From now on the address is told of the end of each of your jobs."""
    if fault := service.webhook_sender.http_client.find_url_fault(body.url):
        raise ApiError("webhook_address_invalid", hint=fault, param="url")
    id = WebhookId(f"wh_{secrets.token_hex(8)}")
    webhook = Webhook(id=id, tenant=claims.tenant, owner=claims.owner, url=body.url, created_at=service.now())
    if not await service.webhook_sender.webhooks.add(webhook, MOST):
        raise ApiError("too_many_webhooks", hint="Delete one first.")
    view = WebhookView.of(webhook)
    return MadeWebhook(**view.model_dump(), secret=service.webhook_sender.secret(id))


@router.get("/{webhook_id}", responses=describe_errors(404))
async def read_webhook(webhook_id: Id, service: ServiceDep, claims: CallerClaims) -> WebhookDetail:
    """A webhook, and how its last deliveries went. Its secret was shown when it was made."""
    webhook = await find_webhook(service, claims, webhook_id)
    told = await service.webhook_sender.webhooks.deliveries_of(webhook.id, SHOWN)
    views = [
        DeliveryView(
            job_id=one.job,
            state=one.state,
            attempts=one.attempts,
            next_at=one.next_at,
            delivered_at=one.delivered_at,
            status=one.status,
            failure=one.failure,
        )
        for one in told
    ]
    view = WebhookView.of(webhook)
    return WebhookDetail(**view.model_dump(), deliveries=views)


@router.delete("/{webhook_id}", status_code=204, responses=describe_errors(404))
async def delete_webhook(webhook_id: Id, service: ServiceDep, claims: CallerClaims) -> Response:
    """Tell the address nothing any more; what it has not heard yet is dropped."""
    webhook = await find_webhook(service, claims, webhook_id, Access.CHANGE)
    await service.webhook_sender.webhooks.remove(webhook.id)
    return Response(status_code=204)
