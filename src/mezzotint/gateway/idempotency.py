"""Idempotency: a repeated request is recognised by its `Idempotency-Key`, or by its content within a short time.

Clients retry requests that got no response, and most send no key; people press a button twice. Neither may make, or be
charged for, a second job. A request that fixes no seed and says `"new": true` asks for another picture each time.
"""

import hashlib
import json
import re
from dataclasses import asdict
from datetime import timedelta

from fastapi import Request

from mezzotint.domain.submission import Once
from mezzotint.gateway.errors import ApiError
from mezzotint.gateway.service import Service
from mezzotint.policy.admission.request import JobRequest, ParsedRequest

KEY_LIFETIME = timedelta(hours=24)
WINDOW = timedelta(seconds=60)
"""Longer than the official OpenAI client goes on retrying by itself (three tries, at most 8 s apart), and its timeouts
are the caller's to choose."""
KEY = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,253}[\x21-\x7e])?")


def name_request(request: Request, parsed: ParsedRequest, service: Service, *, is_new: bool = False) -> Once | None:
    """The idempotency name of a request; None if each repetition means another picture. Answers 422 for an invalid key.

    is_new: the client wants a new picture even if it asked for the same a moment ago.
    """
    now, body = service.now(), content_hash(request.url.path, parsed.request)
    key = request.headers.get("idempotency-key")
    is_retry = request.headers.get("x-stainless-retry-count", "0").strip() not in {"", "0"}
    if key is not None:
        if not KEY.fullmatch(key):
            hint = "Send 1 to 255 printable ASCII characters, such as a UUID."
            raise ApiError("idempotency_key_invalid", hint=hint)
        name = f"key:{hashlib.sha256(key.encode()).hexdigest()}"
        return Once(name=name, body=body, expires_at=now + KEY_LIFETIME, has_key=True, is_retry=True)
    if is_new and not is_retry and not parsed.has_fixed_seed:
        return None
    return Once(name=f"same:{body}", body=body, expires_at=now + WINDOW, has_key=False, is_retry=is_retry)


def content_hash(path: str, job_request: JobRequest) -> str:
    text = json.dumps([path, asdict(job_request)], sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
