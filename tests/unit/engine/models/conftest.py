"""A model of Stable Diffusion 1 as a folder and as a file, made once."""

from pathlib import Path

import pytest

from tests.conformance.engine.zoo.parts import seeded
from tests.unit.engine.models.tiny_families import as_sd1, sd, write


@pytest.fixture(scope="session")
def sd1_model(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    pipeline = seeded(sd)()
    return write(pipeline, as_sd1(pipeline), tmp_path_factory.mktemp("sd1"))
