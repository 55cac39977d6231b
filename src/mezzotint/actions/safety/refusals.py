"""Keep the refusals for safety, so that their users can appeal against them."""

from dataclasses import replace
from datetime import datetime

from mezzotint.domain.claims import Claims
from mezzotint.domain.refusal import APPEAL_HINT, Refusal
from mezzotint.store import Refusals


async def keep_refusal(refusals: Refusals, refusal: Refusal, text: str, claims: Claims, now: datetime) -> Refusal:
    """Keep the audit row of a refusal. Returns the refusal with its id, and how to appeal against it.

    text: the prompt, or the SHA-256 of a picture that was brought.
    """
    id = await refusals.record(claims.tenant, claims.owner, refusal, text, now)
    if id is None:
        return refusal
    return replace(refusal, id=id, hint=f"{refusal.hint} {APPEAL_HINT.format(id=id)}")
