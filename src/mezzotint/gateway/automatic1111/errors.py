"""Errors in the AUTOMATIC1111 API's shape; its clients show `detail`, or the whole text."""

from fastapi.responses import JSONResponse

from mezzotint.gateway.error_handlers import build_route_class
from mezzotint.gateway.errors import ApiError


def sdapi_error(answer: ApiError) -> JSONResponse:
    headers = answer.headers
    if answer.status == 401:
        headers["WWW-Authenticate"] = 'Basic realm="mezzotint"'
    text = f"{answer.message} {answer.hint}".strip()
    body = {"error": answer.code, "detail": text, "body": "", "errors": text}
    return JSONResponse(body, answer.status, headers)


SdapiRoute = build_route_class(sdapi_error)
