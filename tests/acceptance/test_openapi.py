"""The whole API under generated requests: never a server error, and answers as the contract says.

It asks as an admin, so that no route hides behind a refusal.
"""

import subprocess
import sys
from pathlib import Path

from mezzotint.domain.claims import Role
from tests.acceptance.conftest import Server

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


def test_generated_requests_never_meet_a_server_error(server: Server, tmp_path: Path) -> None:
    command = [
        str(Path(sys.executable).with_name("schemathesis")),
        "run",
        f"{server.url}/openapi.json",
        "--checks",
        CHECKS,
        "--max-examples",
        "3",  # of each route, beside every boundary value; `tests/fuzzing` sends many more
        "--phases",
        "examples,coverage,fuzzing",  # not stateful: it would wait for pictures to be drawn
        "--request-timeout",
        "30",
        "--seed",
        "1",
        "--header",
        f"Authorization: Bearer {server.token('fuzz', 'free', Role.ADMIN)}",
        "--exclude-path-regex",
        # the others would stop the drawing that other tests wait for, or have their prompts and pictures refused
        "/v1/session|/v1/admin/workers$|/v1/admin/safety/(rules|tightenings)$",
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=480)
    assert done.returncode == 0, done.stdout[-6000:]
