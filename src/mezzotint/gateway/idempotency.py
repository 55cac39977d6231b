"""Idempotency: a repeated request is recognised by its `Idempotency-Key`, or by its content within a short time.

Clients retry requests that got no response, and most send no key; people press a button twice. Neither may make, or be
charged for, a second job. Each owner in a tenant has names of their own. A request that fixes no seed and says
`"new": true` asks for another picture each time.

The compatible APIs have clients that ask for several pictures by several equal requests, and that mark their retries
(`x-stainless-retry-count`): there each first try is a new picture, and only a marked retry meets the jobs of a try.
"""

import hashlib
import json
import re
import secrets
from dataclasses import asdict, replace
from datetime import datetime, timedelta

from fastapi import Request

from mezzotint.domain.ids import OwnerId
from mezzotint.domain.submission import Once
from mezzotint.gateway.errors import ApiError
from mezzotint.gateway.service import Service
from mezzotint.policy.admission.request import JobRequest

KEY_LIFETIME = timedelta(hours=24)
WINDOW = timedelta(seconds=60)
TRY = "try:"
TRY_LIFETIME = timedelta(hours=1)
"""Longer than three tries that each wait ten minutes, the official OpenAI clients' timeout, for their answer."""
MAX_RETRIES = 1000
KEY = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,253}[\x21-\x7e])?")


def name_request(request: Request, wanted: JobRequest, service: Service, owner: OwnerId) -> Once:
    """The idempotency name of a request. Answers 422 for an invalid key."""
    now, body = service.now(), content_hash(owner, request.url.path, wanted)
    if keyed := _read_key(request, owner, body, now):
        return keyed
    is_retry = count_retries(request) > 0
    return Once(name=f"same:{body}", body=body, expires_at=now + WINDOW, has_key=False, is_retry=is_retry)


def name_try(request: Request, wanted: JobRequest, service: Service, owner: OwnerId, user: str = "") -> Once:
    """The idempotency name of a request to a compatible API. Answers 422 for an invalid key.

    user: the client's own name of whom it asks for; retries for another one are of another request.
    """
    now, body = service.now(), content_hash(owner, request.url.path, wanted, user)
    if keyed := _read_key(request, owner, body, now):
        return keyed
    series = f"{TRY}{body[:40]}:"
    return Once(
        name=f"{series}{secrets.token_hex(12)}",
        body=body,
        expires_at=now + TRY_LIFETIME,
        has_key=False,
        series=series,
        num_retries=count_retries(request),
    )


def count_retries(request: Request) -> int:
    """The number of earlier tries that the client announces."""
    told = request.headers.get("x-stainless-retry-count", "").strip()
    return min(int(told), MAX_RETRIES) if told.isascii() and told.isdigit() else 0


def _read_key(request: Request, owner: OwnerId, body: str, now: datetime) -> Once | None:
    key = request.headers.get("idempotency-key")
    if key is None:
        return None
    if not KEY.fullmatch(key):
        hint = "Send 1 to 255 printable ASCII characters, such as a UUID."
        raise ApiError("idempotency_key_invalid", hint=hint)
    name = f"key:{hashlib.sha256(f'{owner} {key}'.encode()).hexdigest()}"
    return Once(name=name, body=body, expires_at=now + KEY_LIFETIME, has_key=True, is_retry=True)


def content_hash(owner: OwnerId, path: str, job_request: JobRequest, user: str = "") -> str:
    text = json.dumps([owner, path, asdict(replace(job_request, is_new=False)), user], sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
