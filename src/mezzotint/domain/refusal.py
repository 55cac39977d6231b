"""A refusal is an expected outcome: a value, not an exception. It never becomes a job."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

APPEAL_HINT = "If that is a mistake, appeal: POST /v1/appeals with the refusal {id}."


class RefusalCode(StrEnum):
    """Stable codes of everything that a request can be refused for."""

    PROMPT_EMPTY = "prompt_empty"
    PROMPT_TOO_LONG = "prompt_too_long"
    PROMPT_CONTROL_CHARACTER = "prompt_control_character"
    PROMPT_BLOCKED = "prompt_blocked"
    PARAMETER_UNKNOWN = "parameter_unknown"
    PARAMETER_INVALID = "parameter_invalid"
    PARAMETER_REPEATED = "parameter_repeated"
    PARAMETER_UNSUPPORTED = "parameter_unsupported"
    PARAMETER_MISSING = "parameter_missing"
    MODEL_NOT_FOUND = "model_not_found"
    STYLE_NOT_FOUND = "style_not_found"
    STYLE_UNSUPPORTED = "style_unsupported"
    EMBEDDING_UNSUPPORTED = "embedding_unsupported"
    TASK_UNSUPPORTED = "task_unsupported"
    SOURCE_NOT_FOUND = "source_not_found"
    PERMUTATION_INVALID = "permutation_invalid"
    TOO_MANY_JOBS_AT_ONCE = "too_many_jobs_at_once"
    UPLOAD_INVALID = "upload_invalid"
    UPLOAD_BLOCKED = "upload_blocked"
    TOO_MANY_UPLOADS = "too_many_uploads"
    SIZE_INVALID = "size_invalid"
    STEPS_OVER_BUDGET = "steps_over_budget"
    IDEMPOTENCY_KEY_REUSED = "idempotency_key_reused"
    TOO_MANY_OPEN_JOBS = "too_many_open_jobs"
    OVERLOADED = "overloaded"
    TOO_MANY_AT_ONCE = "too_many_at_once"
    FILTER_UNAVAILABLE = "filter_unavailable"
    NO_POOL = "no_pool"


@dataclass(frozen=True, slots=True, kw_only=True)
class SafetyEvidence:
    """Evidence for a verdict. category: of the safety policy; empty: the text is allowed. rule: id of the hard rule in
    use that held; empty: none. scores: by category, 0..1. overrides_version: of the rules in use and the dial.
    policy_version: of the policy file. rules_version: of the files of rules. heads_version: of the trained heads.
    stage: of the text filter, which decided. language: of the text, ISO 639.
    """

    category: str
    rule: str = ""
    scores: Mapping[str, float] = field(default_factory=dict)
    overrides_version: int = 0
    policy_version: str = ""
    rules_version: str = ""
    heads_version: str = ""
    stage: str = ""
    language: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """message: what was wrong. hint: what to do about it. param: the request field it is about.

    retry_after_s: when the same request may be taken; None where that is not known. evidence: of a refusal for safety.
    id: of the kept refusal, against which its user may appeal; None where it is not kept.
    """

    code: RefusalCode
    message: str
    hint: str
    param: str | None = None
    retry_after_s: int | None = None
    evidence: SafetyEvidence | None = None
    id: str | None = None


def refuse(code: RefusalCode, message: str, hint: str, param: str | None = None) -> Refusal:
    return Refusal(code=code, message=message, hint=hint, param=param)
