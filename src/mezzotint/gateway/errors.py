"""The errors that clients meet: one table decides the status of each stable code."""

import re
from typing import NamedTuple

from fastapi.responses import JSONResponse

from mezzotint.domain.refusal import Refusal


class ErrorKind(NamedTuple):
    """meaning: the message of an error that has none of its own."""

    status: int
    meaning: str


ERRORS: dict[str, ErrorKind] = {
    "body_invalid": ErrorKind(400, "The body is not valid JSON in UTF-8."),
    "form_invalid": ErrorKind(400, "The body is not a form with files (multipart/form-data), or is cut off."),
    "body_missing": ErrorKind(422, "The request has no body."),
    "body_too_large": ErrorKind(413, "The body is larger than the server takes."),
    "field_unknown": ErrorKind(422, "The body has a field that this API does not know."),
    "field_invalid": ErrorKind(422, "A field, query parameter or path part has a wrong type or value."),
    "token_missing": ErrorKind(401, "The request carries no API key, token or session."),
    "token_invalid": ErrorKind(401, "The token is malformed, expired, or not signed by whom this server trusts."),
    "key_invalid": ErrorKind(401, "The API key is unknown, expired or revoked."),
    "session_invalid": ErrorKind(401, "The session is over."),
    "session_needed": ErrorKind(403, "This is done by a person or a token, not by an API key."),
    "scope_missing": ErrorKind(403, "The credential does not allow this."),
    "not_owner": ErrorKind(403, "It belongs to somebody else of your tenant."),
    "tenant_hidden": ErrorKind(403, "The tenant does not show you what others of it made."),
    "tenant_disabled": ErrorKind(403, "The tenant is disabled."),
    "cross_site": ErrorKind(403, "Another site's page made the request."),
    "password_wrong": ErrorKind(401, "There is no such user, or the password is another."),
    "old_password_wrong": ErrorKind(403, "The present password is another."),
    "password_weak": ErrorKind(422, "The password is too easy to guess."),
    "name_invalid": ErrorKind(422, "The name cannot be used."),
    "name_taken": ErrorKind(409, "The name is taken."),
    "sign_up_closed": ErrorKind(403, "This server does not let people sign up by themselves."),
    "provider_missing": ErrorKind(404, "No OIDC provider signs people in at the page of this server."),
    "key_not_found": ErrorKind(404, "No such key, or it is not yours, or it is over."),
    "too_many_keys": ErrorKind(429, "The tenant has as many keys as it may have."),
    "sign_in_required": ErrorKind(403, "The server hands out tokens by itself only with --dev."),
    "not_ready": ErrorKind(503, "The server cannot do its work at the moment."),
    "operators_only": ErrorKind(403, "The meter is read with the scrape token, or from the server's own machine."),
    "idempotency_key_invalid": ErrorKind(
        422, "The Idempotency-Key is empty, too long, or has other than printable ASCII characters."
    ),
    "rate_limited": ErrorKind(429, "Too many requests; Retry-After says how long to wait."),
    "too_many_streams": ErrorKind(
        429, "The tenant has as many event streams and long polls open as its tier may have."
    ),
    "request_malformed": ErrorKind(400, "The request is not HTTP as every server reads it."),
    "client_too_slow": ErrorKind(408, "The request did not come in the time that the server waits for it."),
    "too_many_bodies": ErrorKind(429, "The tenant is sending as many large bodies as it may at once."),
    "body_memory_full": ErrorKind(503, "The server is reading as many large bodies as its memory takes."),
    "server_stopping": ErrorKind(503, "The server is stopping."),
    "too_many_connections": ErrorKind(503, "The server, or your address, has as many connections open as it may have."),
    "host_unknown": ErrorKind(421, "The request's Host header names another host than this server."),
    "host_invalid": ErrorKind(400, "The Host header names no host."),
    "url_too_long": ErrorKind(414, "The address with its query is longer than the server takes."),
    "webhook_address_invalid": ErrorKind(422, "The webhook's address cannot be used."),
    "too_many_webhooks": ErrorKind(429, "You have as many webhooks as you may have."),
    "webhook_not_found": ErrorKind(404, "No such webhook, or it is not yours."),
    "tenant_not_found": ErrorKind(404, "No such tenant."),
    "job_not_found": ErrorKind(404, "No such job, or it is not yours."),
    "job_not_failed": ErrorKind(409, "The job is no dead letter."),
    "weight_invalid": ErrorKind(422, "The weight is out of the lane's bounds."),
    "rule_invalid": ErrorKind(422, "The hard rule cannot be used."),
    "rule_blocks_too_much": ErrorKind(409, "The hard rule would refuse harmless prompts of the golden set."),
    "too_many_rules": ErrorKind(429, "As many hard rules as there may be are in force."),
    "rule_not_found": ErrorKind(404, "No such hard rule is in force."),
    "tightening_invalid": ErrorKind(422, "The thresholds cannot be tightened so."),
    "tightening_not_found": ErrorKind(404, "No such tightening is in force."),
    "refusal_not_found": ErrorKind(404, "No such refusal, or it is not yours, or it is kept no more."),
    "appeal_not_found": ErrorKind(404, "No such appeal."),
    "appeal_exists": ErrorKind(409, "There is an appeal against the refusal already."),
    "appeal_decided": ErrorKind(409, "The appeal was decided so already."),
    "appeal_prompt_differs": ErrorKind(422, "The prompt is not the one that was refused."),
    "too_many_appeals": ErrorKind(429, "The tenant has as many undecided appeals as it may have."),
    "worker_not_found": ErrorKind(404, "No such worker was heard of lately."),
    "upload_not_found": ErrorKind(404, "No such upload, or it is not yours."),
    "upload_in_use": ErrorKind(409, "A job that has not ended begins with the upload."),
    "image_not_found": ErrorKind(404, "No such picture."),
    "picture_taken_down": ErrorKind(410, "The operators of this server took the picture down."),
    "takedown_not_found": ErrorKind(404, "No such takedown."),
    "takedown_under_way": ErrorKind(409, "The takedown is not done yet."),
    "takedown_erased": ErrorKind(409, "The time to undo the takedown is over; its pictures are deleted."),
    "selection_invalid": ErrorKind(422, "The selection of pictures cannot be used."),
    "not_found": ErrorKind(404, "No such address."),
    "method_not_allowed": ErrorKind(405, "The address does not take this method."),
    "job_cancelled": ErrorKind(409, "The job was cancelled before its picture was there."),
    "job_expired": ErrorKind(503, "The job waited longer than its tier allows."),
    "job_under_way": ErrorKind(504, "The picture is not there yet; the job goes on."),
    "storage_unavailable": ErrorKind(503, "The database or the object store does not answer."),
    "storage_full": ErrorKind(503, "The disk of the data folder is full."),
    "signing_failed": ErrorKind(503, "The picture's content credentials could not be signed."),
    "image_blocked": ErrorKind(400, "The finished picture did not pass the image filter and is not delivered."),
    "image_in_review": ErrorKind(400, "An operator looks at the finished picture before it is delivered."),
    "review_not_found": ErrorKind(404, "No picture of that job waits for a review."),
    "internal_error": ErrorKind(500, "The server failed; the request can be repeated."),
    "prompt_empty": ErrorKind(422, "The prompt has no words."),
    "prompt_too_long": ErrorKind(422, "The prompt is longer than the server takes."),
    "prompt_control_character": ErrorKind(422, "The prompt has a control character."),
    "no_pool": ErrorKind(422, "No pool of the fleet can ever run the job: its model, its lane or its memory."),
    "filter_unavailable": ErrorKind(503, "The guard that looks at prompts does not answer."),
    "prompt_blocked": ErrorKind(422, "The safety rules do not allow the prompt."),
    "parameter_unknown": ErrorKind(422, "The prompt has a parameter that does not exist."),
    "parameter_invalid": ErrorKind(422, "A parameter has a value that cannot be used."),
    "parameter_repeated": ErrorKind(422, "A parameter is given twice."),
    "parameter_unsupported": ErrorKind(422, "The parameter exists elsewhere, and no model here can follow it."),
    "parameter_missing": ErrorKind(422, "The task needs a parameter that the request does not give."),
    "model_not_found": ErrorKind(404, "The server has no such model."),
    "style_not_found": ErrorKind(422, "The server has no such style."),
    "embedding_unsupported": ErrorKind(422, "The prompt calls an embedding that does not fit the model."),
    "style_unsupported": ErrorKind(422, "The style does not fit the model, or is not for the tier."),
    "task_unsupported": ErrorKind(422, "The model cannot do the task."),
    "source_not_found": ErrorKind(422, "No such picture, job or upload to begin with, or it is not yours."),
    "permutation_invalid": ErrorKind(422, "The choices in braces cannot be read."),
    "too_many_jobs_at_once": ErrorKind(422, "The request alone makes more jobs than any request may."),
    "upload_invalid": ErrorKind(422, "The upload is not a picture that the server can read."),
    "recipe_missing": ErrorKind(422, "The file does not tell how the picture was drawn."),
    "upload_blocked": ErrorKind(422, "The image filter does not allow the upload."),
    "too_many_uploads": ErrorKind(429, "The tenant keeps as many uploads as it may have."),
    "size_invalid": ErrorKind(422, "The model cannot draw pictures of that size."),
    "steps_over_budget": ErrorKind(403, "The request asks for more steps than the tier allows."),
    "idempotency_key_reused": ErrorKind(409, "The Idempotency-Key was used for another request."),
    "too_many_open_jobs": ErrorKind(429, "The tenant has as many open jobs as its tier may have."),
    "overloaded": ErrorKind(429, "The queue is too long for the tier at the moment."),
    "too_many_at_once": ErrorKind(
        429, "The server is reading as many of the tenant's requests as it may send at once."
    ),
}
"""Every error of a request, by code. A tenant that reached a limit of number gets 429; a full server answers 503."""
JOB_FAULT_STATUS = 500
"""Status of a code that the table lacks: the fault of a failed job (domain/errors.py), in a route that waits for it."""
ERROR_HEADER = "X-Error"
"""Header with the first sentence of an error, for clients that drop bodies; the status line's reason repeats it."""
MAX_REASON = 200
_PRINTABLE = re.compile("[^ -~]")
RETRY_AFTER_S = 5
"""Default wait that 429 and 503 tell: a few pictures' time."""


class ApiError(Exception):
    """An error response, raised where a route cannot go on. Its status follows from its code."""

    def __init__(
        self,
        code: str,
        *,
        hint: str,
        message: str | None = None,
        param: str | None = None,
        retry_after_s: int | None = None,
        refusal_id: str | None = None,
    ) -> None:
        self.code, self.hint, self.param = code, hint, param
        self.refusal_id = refusal_id
        self.message = ERRORS[code].meaning if message is None else message
        self.status = find_status(code)
        self.retry_after_s = retry_after_s or RETRY_AFTER_S
        self.allow: str | None = None  # of a 405, the methods that the address takes
        super().__init__(self.message)

    @property
    def headers(self) -> dict[str, str]:
        headers = {ERROR_HEADER: _PRINTABLE.sub("?", self.message)[:MAX_REASON]}
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        if self.status == 409:
            headers["x-should-retry"] = "false"  # OpenAI's clients would otherwise repeat it
        if self.status in (429, 503):
            headers["Retry-After"] = str(self.retry_after_s)
        if self.allow is not None:
            headers["Allow"] = self.allow
        if self.status == 408:
            headers["Connection"] = "close"
        return headers

    def response(self) -> JSONResponse:
        error = {"code": self.code, "message": self.message, "hint": self.hint, "param": self.param}
        if self.refusal_id is not None:
            error["refusal_id"] = self.refusal_id
        return JSONResponse({"error": error}, self.status, self.headers)


def find_status(code: str) -> int:
    return ERRORS[code].status if code in ERRORS else JOB_FAULT_STATUS


def unsupported_error(param: str, message: str, hint: str) -> ApiError:
    return ApiError("parameter_unsupported", message=message, hint=hint, param=param)


def unknown_model_error(name: object, hint: str, *, param: str) -> ApiError:
    return ApiError("model_not_found", message=f'There is no model "{str(name)[:80]}".', hint=hint, param=param)


def translate_refusal(refusal: Refusal) -> ApiError:
    return ApiError(
        refusal.code,
        hint=refusal.hint,
        message=refusal.message,
        param=refusal.param,
        retry_after_s=refusal.retry_after_s,
        refusal_id=refusal.id,
    )
