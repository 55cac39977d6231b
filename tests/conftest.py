"""What every kind of test may use."""

from collections.abc import Iterator

import pytest

from mezzotint.config import wait_passively
from tests.servers import S3, Postgres, running_postgres, running_s3

wait_passively()


@pytest.fixture
def anyio_backend() -> str:
    """Async tests run on asyncio alone, as the service does."""
    return "asyncio"


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with running_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def s3() -> Iterator[S3]:
    with running_s3() as server:
        yield server
