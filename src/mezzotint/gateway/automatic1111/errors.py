"""Errors in the shape of the AUTOMATIC1111 API; its clients show `detail`, or the whole text."""

from fastapi.responses import JSONResponse

from mezzotint.gateway.error_handlers import route_shaped_by
from mezzotint.gateway.errors import Answer


def sdapi_error(answer: Answer) -> JSONResponse:
    headers = {name: value for name, value in answer.response().headers.items() if not name.startswith("content-")}
    if answer.status == 401:
        headers["www-authenticate"] = 'Basic realm="mezzotint"'
    body = {"error": answer.code, "detail": f"{answer.message} {answer.hint}".strip(), "body": "", "errors": ""}
    return JSONResponse(body, answer.status, headers)


SdapiRoute = route_shaped_by(sdapi_error)
