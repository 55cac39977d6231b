"""Forms: what is read of them, and how far. Whatever the body says, the answer is a form or a refusal."""

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mezzotint.gateway.bodies.forms import MAX_FIELD_BYTES, MAX_PARTS, Form, decode_form
from mezzotint.gateway.errors import ApiError

WRITABLE = st.characters(exclude_categories=["Cs"], exclude_characters="\0")


def sent(files: list[tuple[str, object]], **fields: str) -> Form:
    """As a client writes it and we read it."""
    request = httpx.Request("POST", "http://x", data=fields, files=files)  # type: ignore[arg-type]
    boundary = request.headers["content-type"].partition("boundary=")[2]
    return decode_form(request.read(), boundary)


@given(st.binary(max_size=300), st.binary(max_size=300), st.text(WRITABLE, min_size=1))
def test_a_form_is_read_as_it_was_written(image: bytes, mask: bytes, prompt: str) -> None:
    form = sent([("image", ("a.png", image)), ("mask", ("b.png", mask))], prompt=prompt)
    assert form == Form(fields={"prompt": prompt}, files={"image": [image], "mask": [mask]})


def test_lists_may_be_written_with_brackets_and_empty_fields_are_not_set() -> None:
    form = sent([("image[]", ("a.png", b"1")), ("image[]", ("b.png", b"2"))], n="2", size="")
    assert form == Form(fields={"n": "2"}, files={"image": [b"1", b"2"]})


@given(st.binary(max_size=200))
def test_no_body_makes_it_fail_otherwise_than_by_a_refusal(noise: bytes) -> None:
    head = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n'
    for body in (noise, head + noise, head + noise + b"\r\n--x--\r\n", b"--x\r\n" + noise + b"\r\n\r\n\r\n--x--"):
        assert isinstance(outcome_of(body), Form | ApiError)


def outcome_of(body: bytes) -> Form | ApiError:
    try:
        return decode_form(body, "x")
    except ApiError as answer:
        return answer


def test_fields_and_parts_are_bounded() -> None:
    with pytest.raises(ApiError) as caught:
        sent([("image", ("a", b""))], prompt="x" * (MAX_FIELD_BYTES + 1))
    assert caught.value.status == 413
    with pytest.raises(ApiError) as caught:
        sent([("image", ("a", b""))] * (MAX_PARTS + 1))
    assert caught.value.status == 413
