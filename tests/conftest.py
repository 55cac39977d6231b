"""What every kind of test may use."""

import pytest

from mezzotint.config import wait_passively

wait_passively()


@pytest.fixture
def anyio_backend() -> str:
    """Async tests run on asyncio alone, as the service does."""
    return "asyncio"
