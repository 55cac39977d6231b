"""Decide which stored pictures may answer a request, and by what they are found.

In exact mode a picture is a function of the model's fingerprint and the parameters: an equal request has it already.
"""

import json
from dataclasses import asdict
from hashlib import sha256

from mezzotint.domain.claims import Claims
from mezzotint.domain.job import Parameters, ReuseScope
from mezzotint.policy.visibility import sees_tenant


def choose_reuse_scope(claims: Claims, *, has_fixed_seed: bool, is_new: bool) -> ReuseScope | None:
    """Decide whose pictures may answer the jobs of a request; None: they are drawn.

    is_new: the request wants a picture that is drawn for it.
    """
    if is_new or not has_fixed_seed:
        return None
    return ReuseScope.TENANT if sees_tenant(claims) else ReuseScope.OWN


def make_reuse_key(model: str, fingerprint: str, parameters: Parameters, finishing: str) -> str:
    """The key of the pictures that a run gives: SHA-256 of all that decides the bytes of their files but the job.

    fingerprint: of the engine that draws, weights included. finishing: what is done to the pixels and the files after.
    """
    facts = [model, fingerprint, asdict(parameters), finishing]
    return sha256(json.dumps(facts, sort_keys=True, default=str).encode("utf-8", "surrogatepass")).hexdigest()
