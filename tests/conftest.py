"""What every kind of test may use."""

import pytest


@pytest.fixture
def anyio_backend() -> str:
    """Async tests run on asyncio alone, as the service does."""
    return "asyncio"
