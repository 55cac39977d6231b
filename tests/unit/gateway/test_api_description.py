"""The API's description, as generators of clients read it."""

import re
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from mezzotint.gateway import create_app
from tests.unit.gateway.conftest import Connect

METHODS = {"get", "put", "post", "patch", "delete", "head"}
VERBS = {
    *(
        "list",
        "read",
        "create",
        "change",
        "delete",
        "cancel",
        "watch",
        "download",
        "check",
        "describe",
        "sign",
        "inspect",
    ),
    *(
        "inspect",
        "rotate",
        "revoke",
        "retry",
        "generate",
        "edit",
        "vary",
        "draw",
        "upscale",
        "interrupt",
        "skip",
        "set",
        "refresh",
        "decide",
        "finish",
        "moderate",
        "plan",
        "start",
        "try",
        "undo",
        "view",
    ),
}


@pytest.fixture(scope="module")
def description() -> dict[str, Any]:
    return create_app(None).openapi()


def operations(description: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        f"{method.upper()} {path}": operation
        for path, found in description["paths"].items()
        for method, operation in found.items()
        if method in METHODS
    }


def test_it_is_valid(description: dict[str, Any]) -> None:
    OpenAPIV31SpecValidator(description).validate()


def test_operations_are_named_by_a_verb_and_its_object_each_once(description: dict[str, Any]) -> None:
    names = [operation["operationId"] for operation in operations(description).values()]
    assert len(names) == len(set(names))
    for name in names:
        verb, _, noun = name.partition("_")
        assert verb in VERBS, name
        assert re.fullmatch(r"[a-z0-9]+(_[a-z0-9]+)*", noun), name
    assert {"create_job", "list_jobs", "list_images", "create_upload", "generate_images"} <= set(names)


def test_every_answer_with_a_body_has_a_type(description: dict[str, Any]) -> None:
    for where, operation in operations(description).items():
        fine = {
            status: answer for status, answer in operation["responses"].items() if status[0] == "2" or status == "303"
        }
        assert fine, where
        for status, answer in fine.items():
            assert status in {"204", "303"} or where.startswith("HEAD") or answer["content"], where
            for media_type, content in answer.get("content", {}).items():
                expected = "object" if media_type == "text/event-stream" else "string"
                assert media_type == "application/json" or content["schema"]["type"] == expected, where


def test_every_body_is_typed(description: dict[str, Any]) -> None:
    for where, operation in operations(description).items():
        for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
            assert content["schema"], where
            assert "*" not in media_type, where


def test_a_picture_is_described_as_its_bytes(description: dict[str, Any]) -> None:
    answers = description["paths"]["/i/{name}"]["get"]["responses"]
    assert {"200", "206", "304", "404", "416"} <= answers.keys()
    assert answers["200"]["content"]["image/png"]["schema"] == {"type": "string", "format": "binary"}
    assert description["paths"]["/i/{name}"]["head"]["operationId"] == "check_image"


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/v1/jobs", "GET, HEAD, POST"),
        ("POST", "/v1/jobs/job_0", "DELETE, GET, HEAD"),
        ("POST", "/healthz", "GET, HEAD"),
        ("DELETE", "/sdapi/v1/options", "GET, HEAD, POST"),
        ("GET", "/v1/images/edits", "POST"),
    ],
)
async def test_a_wrong_method_is_told_all_that_the_address_takes(
    connect: Connect, method: str, path: str, allowed: str
) -> None:
    async with connect() as ada:
        answer = await ada.request(method, path)
    assert (answer.status_code, answer.headers["allow"]) == (405, allowed)
