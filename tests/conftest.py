"""What every kind of test may use."""

import os
from collections.abc import Iterator
from pathlib import Path
from shutil import copyfile

import pytest
from hypothesis import HealthCheck, settings

from mezzotint.environment import wait_passively
from mezzotint.store import Database
from tests.servers import S3, Postgres, running_postgres, running_s3

wait_passively()
settings.register_profile("any-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any-machine")  # a slow example or a slow draw is the machine's, not the code's
if "PYTEST_XDIST_WORKER" in os.environ:  # two processes of tests, and the servers they start, on two cores
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# servers that tests start answer sooner; tests of the text filter say that they want its classifier
os.environ.setdefault("MEZZOTINT_TEXT_CLASSIFIER", "false")
# what a test has drawn twice is drawn twice; tests of reuse say that they want it
os.environ.setdefault("MEZZOTINT_REUSE", "false")


@pytest.fixture
def anyio_backend() -> str:
    """Async tests run on asyncio alone, as the service does."""
    return "asyncio"


@pytest.fixture(autouse=True)
def umask_as_before() -> Iterator[None]:
    """A command changes its process's umask (`main/data_folder.py`); later tests must not inherit it."""
    before = os.umask(0o022)
    os.umask(before)
    yield
    os.umask(before)


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with all tables, which tests copy: to migrate takes longer than most of them."""
    path = tmp_path_factory.mktemp("migrated") / "mezzotint.db"
    Database(path).migrate()
    return path


@pytest.fixture
def database_file(tmp_path: Path, migrated_file: Path) -> Path:
    """A test's own SQLite file with all tables, where a data folder has it."""
    return Path(copyfile(migrated_file, tmp_path / "mezzotint.db"))


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with running_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def s3() -> Iterator[S3]:
    with running_s3() as server:
        yield server
