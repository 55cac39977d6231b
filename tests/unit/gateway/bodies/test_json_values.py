"""What no route can use is refused before any route sees it, in the shape of the API that was called."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mezzotint.gateway.bodies.json_values import MAX_DEPTH, MAX_VALUES, read_json_value
from mezzotint.gateway.errors import ApiError
from tests.fuzzing.corpus import HOSTS
from tests.unit.gateway.conftest import Connect

pytestmark = pytest.mark.anyio
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
SCALAR = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
VALUE = st.recursive(
    SCALAR | TEXT, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXT, inner, max_size=5), max_leaves=20
)


@given(VALUE, st.booleans())
def test_what_can_be_used_is_read_as_it_was_written(value: Any, is_ascii: bool) -> None:
    assert read_json_value(json.dumps(value, ensure_ascii=is_ascii).encode()) == value


@given(st.binary(max_size=100))
def test_no_bytes_make_it_fail_otherwise_than_by_a_refusal(noise: bytes) -> None:
    for body in (noise, b'{"a":' + noise + b"}", b'"' + noise + b'"'):
        assert status_of(body) in {200, 400, 422}


def status_of(body: bytes) -> int:
    try:
        read_json_value(body)
    except ApiError as answer:
        return answer.status
    return 200


@pytest.mark.parametrize(
    "body",
    [
        *('"\\ud800"', '{"\\udfff": 1}', '[["a\\udc00\\ud800"]]', '"\\u0000"', '{"\\u0000": 1}', "NaN", "[-Infinity]"),
        *("1e400", "-1e400", str(2**64), str(-(2**63) - 1), "9" * 5_000, "[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1)),
        *("[" * 30_000, '{"a":' * 10_000, "[" + "1," * MAX_VALUES + "1]"),
    ],
    ids=lambda body: body[:12],
)
def test_what_cannot_be_used_is_refused(body: str) -> None:
    with pytest.raises(ApiError) as caught:
        read_json_value(body.encode())
    assert (caught.value.status, caught.value.code) == (422, "field_invalid")


@pytest.mark.parametrize("body", [b"\xed\xa0\x80", b'"\xff"', '"x"'.encode("utf-16"), b'"a\0b"', b"{", b"tru", b"1 2"])
def test_what_is_not_json_in_utf_8_is_refused(body: bytes) -> None:
    with pytest.raises(ApiError) as caught:
        read_json_value(body)
    assert (caught.value.status, caught.value.code) == (400, "body_invalid")


FIELDS = (
    *(("/v1/sign-in", "name"), ("/v1/sign-in", "password"), ("/v1/jobs", "prompt"), ("/v1/keys", "name")),
    *(("/v1/webhooks", "url"), ("/v1/admin/tenants", "id"), ("/v1/images/generations", "model")),
    *(("/sdapi/v1/txt2img", "scheduler"), ("/sdapi/v1/options", "sd_model_checkpoint"), ("/sdapi/v1/options", "x")),
    *(("/sdapi/v1/txt2img", "override_settings"), ("/sdapi/v1/img2img", "prompt"), ("/sdapi/v1/img2img", "mask")),
)


@pytest.mark.parametrize(("path", "field"), FIELDS)
@pytest.mark.parametrize("value", [r'"\ud800"', r'"a\u0000"', r'{"sd_model_checkpoint": "\ud800"}', "1" + "0" * 30])
async def test_every_field_of_every_api_is_held_to_it(connect: Connect, path: str, field: str, value: str) -> None:
    async with connect() as ada:
        body = f'{{"{field}": {value}}}'.encode()
        answer = await ada.post(path, content=body, headers={"content-type": "application/json"})
    assert answer.status_code == (400 if path.startswith("/v1/images/") else 422)
    error = answer.json()["error"]
    assert (error if path.startswith("/sdapi/") else error["code"]) == "field_invalid"


@pytest.mark.parametrize("host", [host for host in HOSTS if host not in {b"", b"x" * 5_000}])
async def test_a_host_that_is_none_is_refused(connect: Connect, host: bytes) -> None:
    async with connect() as ada:
        for path in ("/v1/me", "/v1/session", "/healthz"):
            answer = await ada.post(path, headers=[(b"host", host)])
            assert (answer.status_code, answer.json()["error"]["code"]) == (400, "host_invalid")


async def test_a_null_character_in_an_address_finds_nothing(connect: Connect) -> None:
    async with connect() as ada:
        assert (await ada.get("/v1/models/a%00b")).status_code == 404
        assert (await ada.delete("/v1/uploads/%00")).status_code == 404
        assert (await ada.get("/%00")).status_code == 404
        assert (await ada.get("/v1/images?q=a%00b")).status_code == 422


@pytest.mark.parametrize("credentials", ["mz_é", "mz_\x7f", "ü.ü.ü"])
async def test_a_credential_of_other_than_printable_ascii_is_refused(connect: Connect, credentials: str) -> None:
    async with connect(None) as nobody:
        headers = [(b"authorization", f"Bearer {credentials}".encode("latin-1"))]
        answer = await nobody.get("/v1/me", headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "token_invalid")
