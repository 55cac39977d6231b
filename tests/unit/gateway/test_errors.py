"""One table decides the status of every error code."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from mezzotint import gateway
from mezzotint.actions.safety.appeals import AppealFault
from mezzotint.actions.safety.rules import RuleFault
from mezzotint.actions.takedown.begin import UndoRefusal
from mezzotint.domain.errors import JobFault, SigningFailed, StorageFull, StorageUnavailable
from mezzotint.domain.refusal import RefusalCode
from mezzotint.gateway.errors import ERRORS, ApiError, find_status

MODULES = [ast.parse(path.read_text()) for path in Path(gateway.__file__).parent.rglob("*.py")]
CREDENTIAL_CODES = {"token_invalid", "key_invalid", "session_invalid"}
"""Raised by a variable, in streams/open_streams.py."""
CAPACITY = {"too_many_connections"}
"""Of the whole server, not of a tenant."""
ONE_REQUEST = {"too_many_jobs_at_once"}
"""One request alone is too large: it never succeeds, however long its sender waits."""


def raised_codes() -> Iterator[str]:
    """Codes that are written in the gateway's calls of `ApiError`."""
    for module in MODULES:
        for node in ast.walk(module):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "ApiError":
                code = node.args[0]
                if isinstance(code, ast.Constant):
                    yield code.value


def test_every_code_that_is_raised_is_in_the_table_and_every_other_is_not() -> None:
    storage = {StorageUnavailable.code, StorageFull.code}
    pictures = {"image_blocked", "image_in_review", SigningFailed.code}
    outcomes = {*RefusalCode, *RuleFault, *AppealFault, *UndoRefusal}
    known = {*raised_codes(), *CREDENTIAL_CODES, *outcomes, *storage, *pictures}
    assert known == set(ERRORS)


def test_every_limit_of_number_of_a_tenant_answers_429() -> None:
    limits = {code for code in ERRORS if code.startswith("too_many")} - CAPACITY - ONE_REQUEST
    assert {"too_many_keys", "too_many_webhooks", "too_many_uploads", "too_many_open_jobs"} <= limits
    assert {code: ERRORS[code].status for code in limits} == dict.fromkeys(limits, 429)


@pytest.mark.parametrize("fault", JobFault.__subclasses__(), ids=lambda fault: fault.code)
def test_the_fault_of_a_job_is_the_servers_unless_the_filter_blocked_its_picture(fault: type[JobFault]) -> None:
    own = {"image_blocked": 400, "image_in_review": 400, "picture_taken_down": 410}
    own |= {"signing_failed": 503, "storage_unavailable": 503}
    assert find_status(fault.code) == own.get(fault.code, 500)


def test_a_code_without_a_message_of_its_own_must_be_in_the_table() -> None:
    with pytest.raises(KeyError):
        ApiError("no_such_code", hint="Look.")


@pytest.mark.parametrize(("code", "name", "value"), [
    ("token_missing", "www-authenticate", "Bearer"),
    ("name_taken", "x-should-retry", "false"),
    ("too_many_keys", "retry-after", "5"),
    ("not_ready", "retry-after", "5"),
    ("client_too_slow", "connection", "close"),
])  # fmt: skip
def test_the_status_decides_the_headers(code: str, name: str, value: str) -> None:
    response = ApiError(code, hint="Look.").response()
    assert (response.status_code, response.headers[name]) == (ERRORS[code].status, value)
