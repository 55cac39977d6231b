"""Tiny tensors are slower on many threads than on one."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from tests.conformance.engine.zoo import flux


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def pipeline() -> Any:
    """A tiny FLUX pipeline with random weights."""
    return flux()
