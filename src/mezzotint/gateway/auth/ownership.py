"""Gives routes the things that their caller may see or change, and answers 404 or 403 for all others."""

import re
from enum import StrEnum
from typing import Annotated

from fastapi import Query

from mezzotint.domain.claims import Claims
from mezzotint.domain.ids import JobId, OwnerId, WebhookId
from mezzotint.domain.job import Job
from mezzotint.domain.webhook import Webhook
from mezzotint.gateway.errors import ApiError
from mezzotint.gateway.service import Service
from mezzotint.policy.visibility import Access, decide_access, own, sees_tenant
from mezzotint.store import KeptRefusal

JOB_ID = re.compile(r"job_[0-9a-f]{24}")
REFUSAL_ID = re.compile(r"ref_[0-9a-f]{24}")
WEBHOOK_ID = re.compile(r"wh_[0-9a-f]{16}")


class Whose(StrEnum):
    """The owners whose things a list has."""

    MINE = "mine"
    TENANT = "tenant"


Of = Annotated[Whose, Query(description="`tenant`: also what others of your tenant made, where it shows you that")]


def list_owners(claims: Claims, of: Whose) -> frozenset[OwnerId] | None:
    """The owners in the tenant whose things the list has; None: all. Answers 403 where the caller may not see them."""
    if of is Whose.MINE:
        return own(claims)
    if not sees_tenant(claims):
        hint = "Ask who runs this server: `mezzotint tenants visibility NAME shared` shows all of it to everybody."
        raise ApiError("tenant_hidden", hint=hint, param="of")
    return None


async def find_job(service: Service, claims: Claims, job_id: str, needed: Access = Access.SEE) -> Job:
    """The job. Answers 404 unless the caller may see it: others' ids look like ids that do not exist."""
    job = await service.backing.jobs.get(JobId(job_id)) if JOB_ID.fullmatch(job_id) else None
    access = Access.NONE if job is None else decide_access(claims, job.tenant, job.owner)
    if job is None or access is Access.NONE:
        raise ApiError("job_not_found", hint="GET /v1/jobs lists yours.")
    check_access(access, needed)
    return job


async def find_webhook(service: Service, claims: Claims, webhook_id: str, needed: Access = Access.SEE) -> Webhook:
    """The webhook. Answers 404 unless the caller may see it."""
    webhooks = service.webhook_sender.webhooks
    webhook = await webhooks.get(WebhookId(webhook_id)) if WEBHOOK_ID.fullmatch(webhook_id) else None
    access = Access.NONE if webhook is None else decide_access(claims, webhook.tenant, webhook.owner)
    if webhook is None or access is Access.NONE:
        raise ApiError("webhook_not_found", hint="GET /v1/webhooks lists yours.")
    check_access(access, needed)
    return webhook


async def find_refusal(service: Service, claims: Claims, refusal_id: str) -> KeptRefusal:
    """The caller's own refusal, of a prompt or, by the job's id, of a finished picture.

    Answers 404 for all others, also where the tenant shows its work.
    """
    refusal = None
    if REFUSAL_ID.fullmatch(refusal_id):
        refusal = await service.safety.refusals.get(refusal_id)
    elif JOB_ID.fullmatch(refusal_id):
        refusal = await service.safety.appeals.find_blocked_picture(JobId(refusal_id))
    if refusal is None or refusal.tenant != claims.tenant or refusal.owner not in own(claims):
        raise ApiError("refusal_not_found", hint="The answer to the refused request names it.", param="refusal_id")
    return refusal


async def find_owners_of_upload(service: Service, claims: Claims, upload_id: str) -> frozenset[OwnerId]:
    """Find the owners whose uploads of that hash the caller changes: itself, else others whose uploads it may change.

    Answers 404 where they see none, 403 where they may change none.
    """
    found = await service.uploader.uploads.owners_of(claims.tenant, upload_id)
    access = {owner: decide_access(claims, claims.tenant, owner) for owner in found}
    best = max(access.values(), default=Access.NONE)
    if best is Access.NONE:
        hint = "It may have gone by itself: what nothing uses does after a day."
        raise ApiError("upload_not_found", hint=hint)
    check_access(best, Access.CHANGE)
    changeable = frozenset(owner for owner in found if access[owner] is Access.CHANGE)
    return changeable & own(claims) or changeable


def check_access(access: Access, needed: Access) -> None:
    """Answers 403 to a caller who sees the thing and may not change it."""
    if access < needed:
        raise ApiError("not_owner", hint="Ask its owner, or a manager of your tenant.")
