"""Errors in the shape of OpenAI's API, so that its clients raise their own classes.

Its clients retry 408, 409, 429 and 5xx by themselves; `x-should-retry: false` stops retries that cannot succeed.
"""

from fastapi.responses import JSONResponse

from mezzotint.domain.refusal import RefusalCode
from mezzotint.gateway.error_handlers import build_route_class
from mezzotint.gateway.errors import ApiError

TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    429: "rate_limit_error",
}
RENAMED = {RefusalCode.PROMPT_BLOCKED: "moderation_blocked", "image_blocked": "moderation_blocked"} | {
    "image_in_review": "moderation_blocked"
}
"""Codes that its clients look for."""


def openai_error(answer: ApiError) -> JSONResponse:
    """The error as OpenAI's API answers it; 422 becomes 400."""
    status = 400 if answer.status == 422 else answer.status
    headers = answer.headers
    if status < 500 and status != 429:
        headers["x-should-retry"] = "false"
    return JSONResponse({"error": error_body(answer)}, status, headers)


def error_body(answer: ApiError) -> dict[str, str | None]:
    status = 400 if answer.status == 422 else answer.status
    return {
        "message": f"{answer.message} {answer.hint}".strip(),
        "type": TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error"),
        "param": answer.param,
        "code": RENAMED.get(answer.code, answer.code),
    }


OpenAIRoute = build_route_class(openai_error)
