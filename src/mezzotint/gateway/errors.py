"""Every error a client can meet: one shape, stable codes, one table of status codes."""

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from mezzotint.domain.errors import MezzotintError, StorageUnavailable
from mezzotint.domain.refusal import Refusal, RefusalCode
from mezzotint.gateway.middleware.security_headers import HEADERS, NO_STORE

STATUS: dict[RefusalCode, int] = {
    RefusalCode.STEPS_OVER_BUDGET: 403,
    RefusalCode.TOO_MANY_OPEN_JOBS: 429,
    RefusalCode.OVERLOADED: 429,
    RefusalCode.TOO_MANY_AT_ONCE: 429,
    RefusalCode.IDEMPOTENCY_KEY_REUSED: 409,
    RefusalCode.TOO_MANY_UPLOADS: 429,
    RefusalCode.MODEL_NOT_FOUND: 404,
}
"""Refusals answered with something else than 422."""

RETRY_AFTER_S = 5
"""What a client with too many open jobs is told to wait: a few pictures' time."""

GATEWAY_CODES: dict[str, str] = {
    "body_invalid": "The body is not valid JSON in UTF-8.",
    "form_invalid": "The body is not a form with files (multipart/form-data), or is cut off.",
    "body_missing": "The request has no body.",
    "body_too_large": "The body is larger than the server takes.",
    "field_unknown": "The body has a field that this API does not know.",
    "field_invalid": "A field, query parameter or path part has a wrong type or value.",
    "token_missing": "The request carries no API key, token or session.",
    "token_invalid": "The token is malformed, expired, or not signed by whom this server trusts.",
    "key_invalid": "The API key is unknown, expired or revoked.",
    "session_invalid": "The session is over.",
    "session_needed": "This is done by a person or a token, not by an API key.",
    "scope_missing": "The credential does not allow this.",
    "tenant_disabled": "The tenant is disabled.",
    "cross_site": "Another site's page made the request.",
    "password_wrong": "There is no such user, or the password is another.",
    "password_weak": "The password is too easy to guess.",
    "name_invalid": "The name cannot be used.",
    "name_taken": "The name is taken.",
    "sign_up_closed": "This server does not let people sign up by themselves.",
    "key_not_found": "No such key, or it is not yours, or it is over.",
    "too_many_keys": "The tenant has as many keys as it may have.",
    "sign_in_required": "The server hands out tokens by itself only with --dev.",
    "not_ready": "The server cannot do its work at the moment.",
    "operators_only": "The meter is read with the scrape token, or from the server's own machine.",
    "idempotency_key_invalid": "The Idempotency-Key is empty, too long, or has other than printable ASCII characters.",
    "rate_limited": "Too many requests; Retry-After says how long to wait.",
    "too_many_streams": "The tenant has as many event streams and long polls open as its tier may have.",
    "request_malformed": "The request is not HTTP as every server reads it.",
    "client_too_slow": "The request did not come in the time that the server waits for it.",
    "too_many_bodies": "The tenant is sending as many large bodies as it may at once.",
    "body_memory_full": "The server is reading as many large bodies as its memory takes.",
    "too_many_connections": "The server, or your address, has as many connections open as it may have.",
    "host_unknown": "The request's Host header names another host than this server.",
    "host_invalid": "The Host header names no host.",
    "url_too_long": "The address with its query is longer than the server takes.",
    "webhook_address_invalid": "The webhook's address cannot be used.",
    "too_many_webhooks": "The tenant has as many webhooks as it may have.",
    "webhook_not_found": "No such webhook, or it is not yours.",
    "tenant_not_found": "No such tenant.",
    "job_not_found": "No such job, or it is not yours.",
    "job_not_failed": "The job is no dead letter.",
    "weight_invalid": "The weight is out of the lane's bounds.",
    "worker_not_found": "No such worker was heard of lately.",
    "upload_not_found": "No such upload, or it is not yours.",
    "upload_in_use": "A job that has not ended begins with the upload.",
    "image_not_found": "No such picture.",
    "not_found": "No such address.",
    "method_not_allowed": "The address does not take this method.",
    "job_cancelled": "The job was cancelled before its picture was there.",
    "job_expired": "The job waited longer than its tier allows.",
    "job_under_way": "The picture is not there yet; the job goes on.",
    "model_not_found": "The server has no such model.",
    "storage_unavailable": "The database or the object store does not answer.",
    "storage_full": "The disk of the data folder is full.",
    "internal_error": "The server failed; the request can be repeated.",
}
"""Codes that the gateway itself answers with, beside those of refusals."""


class ApiError(Exception):
    """An error response, raised where a route cannot go on."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        hint: str,
        param: str | None = None,
        *,
        retry_after_s: int = RETRY_AFTER_S,
    ) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        self.status, self.code, self.message, self.hint, self.param = status, code, message, hint, param

    def response(self) -> JSONResponse:
        headers = {"WWW-Authenticate": "Bearer"} if self.status == 401 else {}
        if self.status == 409:
            headers["x-should-retry"] = "false"  # OpenAI's clients would otherwise repeat it
        if self.status in (429, 503):
            headers["Retry-After"] = str(self.retry_after_s)
        if self.status == 408:
            headers["Connection"] = "close"
        error = {"code": self.code, "message": self.message, "hint": self.hint, "param": self.param}
        return JSONResponse({"error": error}, self.status, headers)


def translate_refusal(refusal: Refusal) -> ApiError:
    return ApiError(
        STATUS.get(refusal.code, 422),
        refusal.code,
        refusal.message,
        refusal.hint,
        refusal.param,
        retry_after_s=refusal.retry_after_s or RETRY_AFTER_S,
    )


def install_error_handlers(app: FastAPI) -> None:
    """Answer every exception in the one shape."""
    app.add_exception_handler(ApiError, _on_answer)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(StorageUnavailable, _on_storage)
    app.add_exception_handler(Exception, _on_fault)


async def _on_answer(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ApiError)
    return error.response()


async def _on_invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    return translate_validation_error(error).response()


def translate_validation_error(error: RequestValidationError) -> ApiError:
    """What is wrong with a request that its route's types do not take."""
    first: dict[str, Any] = error.errors()[0]
    where = [str(part) for part in first["loc"]]
    field = where[-1] if len(where) > 1 else None
    docs = "See docs/reference/api.md or /openapi.json."
    if first["type"] == "json_invalid":
        return ApiError(
            400, "body_invalid", GATEWAY_CODES["body_invalid"], 'Send JSON such as {"prompt": "a red apple"}.'
        )
    if first["type"] == "missing" and where == ["body"]:
        return ApiError(
            422, "body_missing", GATEWAY_CODES["body_missing"], 'Send JSON such as {"prompt": "a red apple"}.'
        )
    if first["type"] == "extra_forbidden":
        return ApiError(422, "field_unknown", f'There is no field "{_shorten(field)}".', docs, _shorten(field))
    message = f'"{_shorten(field)}": {first["msg"]}.' if field else f"{first['msg']}."
    return ApiError(422, "field_invalid", message, docs, _shorten(field))


def _shorten(name: str | None) -> str | None:
    """A client's own field name, safe to send back: bounded, without lone surrogates."""
    return None if name is None else name[:80].encode("utf-8", "replace").decode()


async def _on_http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return translate_http_exception(error).response()


def translate_http_exception(error: HTTPException) -> ApiError:
    """What the framework itself refuses: bodies that are no text, unknown addresses and methods."""
    if error.status_code == 400:
        return ApiError(400, "body_invalid", GATEWAY_CODES["body_invalid"], "Send UTF-8 JSON.")
    code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "field_invalid")
    return ApiError(error.status_code, code, GATEWAY_CODES[code], "The API is described at /openapi.json.")


async def _on_storage(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, StorageUnavailable)
    return translate_storage_error(error).response()


def translate_storage_error(error: StorageUnavailable) -> ApiError:
    return ApiError(503, error.code, str(error), error.hint)


async def _on_fault(request: Request, error: Exception) -> JSONResponse:
    # answered here, outside of all that puts headers on answers, then raised again by the server for its log
    response = ApiError(500, "internal_error", GATEWAY_CODES["internal_error"], MezzotintError.hint).response()
    response.headers.update({**HEADERS, "Cache-Control": NO_STORE})
    return response
