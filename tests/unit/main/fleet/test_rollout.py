"""`fleet rollout` checks the new release, then writes down what is wanted."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mezzotint.config import read_settings
from mezzotint.domain.errors import ArgumentInvalid, ModelMissing, NotKnown
from mezzotint.domain.fleet.rollout_phase import RolloutPhase
from mezzotint.main.fleet.fleet_file import FleetInvalid
from mezzotint.main.fleet.rollout import RolloutRequest, abort_rollout, begin_rollout, read_changes, wait_for_end
from mezzotint.store import Database
from mezzotint.store.fleet.fleet_rows import FleetRows
from mezzotint.store.fleet.rollouts import Rollouts
from tests.making import make_desired_fleet

pytestmark = pytest.mark.anyio
FILE = '[[pools]]\nname = "a"\nmax = 2\n[[pools]]\nname = "b"\nmax = 2\nsettings = {{ max_attempts = {} }}\n'
WANTED = make_desired_fleet({"name": "a", "max": 2}, {"name": "b", "max": 2, "settings": {"max_attempts": 3}})


@pytest.fixture
async def database(database_file: Path) -> AsyncIterator[Database]:
    made = Database(database_file)
    yield made
    await made.close()


async def begin(database: Database, folder: Path, text: str | None, **more: str) -> str:
    file = None if text is None else folder / "fleet.toml"
    if file is not None and text is not None:
        file.write_text(text)
    changes = {name: value for name, value in more.items() if name != "version"}
    request = RolloutRequest(file=file, version=more.get("version"), changes=changes)
    return (await begin_rollout(read_settings(data=folder), database, request)).version


async def test_a_rollout_that_would_change_nothing_or_too_much_is_refused(database: Database, tmp_path: Path) -> None:
    with pytest.raises(NotKnown, match="no fleet is up"):
        await begin(database, tmp_path, None, version="2")
    await FleetRows(database).write(WANTED)
    with pytest.raises(ArgumentInvalid, match="nothing that makes workers differ"):
        await begin(database, tmp_path, FILE.format(3))
    with pytest.raises(ArgumentInvalid, match="neither adds nor removes pools"):
        await begin(database, tmp_path, '[[pools]]\nname = "a"\nmax = 2\n')
    with pytest.raises(ArgumentInvalid, match=r"runs version 0\.1\.0"):
        await begin(database, tmp_path, None, version="0.1.0")
    with pytest.raises(ArgumentInvalid, match="without spaces"):
        await begin(database, tmp_path, None, version="a b")
    with pytest.raises(FleetInvalid, match="max_attempts"):
        await begin(database, tmp_path, FILE.format(0))
    with pytest.raises(ModelMissing):
        await begin(database, tmp_path, None, model=str(tmp_path / "nowhere"))
    assert await Rollouts(database).newest() is None


async def test_pools_that_differ_are_rolled_and_an_operator_may_end_it(database: Database, tmp_path: Path) -> None:
    await FleetRows(database).write(WANTED)
    with pytest.raises(NotKnown, match="no rollout is under way"):
        await abort_rollout(database)
    assert (await begin(database, tmp_path, FILE.format(4))).startswith("0.1.0-")
    rollout = await wait_for_end(database, 0.0)
    assert (rollout.pools, rollout.old, rollout.phase) == (("b",), "0.1.0", RolloutPhase.ROLLING)
    with pytest.raises(ArgumentInvalid, match="under way"):
        await begin(database, tmp_path, FILE.format(5))
    await abort_rollout(database)
    rollout = await wait_for_end(database, 0.0)
    assert (rollout.phase, rollout.reason) == (RolloutPhase.GOING_BACK, "an operator ended it")


async def test_other_models_replace_the_workers_of_every_pool(database: Database, tmp_path: Path) -> None:
    await FleetRows(database).write(WANTED)
    (tmp_path / "models.toml").write_text('[[models]]\nname = "ink"\nsource = "starter"\n')
    changes = read_changes(tmp_path / "models.toml", None)
    await begin(database, tmp_path, None, **changes)
    rollout = await Rollouts(database).newest()
    assert rollout is not None
    assert (rollout.pools, rollout.release.changes) == (("a", "b"), {"models": str(tmp_path / "models.toml")})
