"""`mezzotint fleet check`: every fault of the file is named by its pool and key, with what to do."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mezzotint.config import read_settings
from mezzotint.domain.fleet.accelerators import ACCELERATORS, GIB
from mezzotint.domain.fleet.health import HEALTH_TRANSITIONS, HealthVerdict
from mezzotint.domain.fleet.pool import Fleet, Market, Pool
from mezzotint.domain.fleet.rollout_phase import ROLLOUT_TRANSITIONS, RolloutPhase
from mezzotint.domain.fleet.worker_state import FLEET_WORKER_TRANSITIONS, FleetWorkerState
from mezzotint.domain.tier import Tier
from mezzotint.main import app
from mezzotint.main.fleet.fleet_file import (
    MAX_FILE_BYTES,
    WORKER_SETTINGS,
    FleetInvalid,
    check_settings,
    read_fleet,
)
from mezzotint.main.served_models import ServedModel, find_models
from mezzotint.policy.fleet.validation import check_models, list_gaps, read_document

ROOT = Path(__file__).parents[4]
POOL = '[[pools]]\nname = "steady"\nmax = 2\n'


@pytest.fixture(scope="module")
def offers() -> tuple[ServedModel, ...]:
    return find_models(read_settings(worker=False))


def test_the_example_is_checked_and_its_pools_are_listed() -> None:
    done = CliRunner().invoke(app, ["fleet", "check", str(ROOT / "deploy" / "fleet.toml")])
    assert done.exit_code == 0, done.output
    rows = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert rows["eu-spot"].split()[1:5] == ["L40S", "0", "to", "12"]
    assert "acme" in rows["eu-acme"]
    assert "it costs 10.2 to 44.6 an hour, held at 30" in done.stdout


FAULTS = [
    (POOL + "maximum = 3", ("pool steady, maximum", "no key", "did you mean 'max'?")),
    (POOL + "warm_flor = 1", ("pool steady, warm_flor", "did you mean 'warm_floor'?")),
    ("cost_ceiling = 3.0\n" + POOL, ("cost_ceiling", "did you mean 'cost_ceiling_per_hour'?")),
    ('[[regions]]\nname = "eu"\nspils_to = []\n' + POOL, ("spils_to", "did you mean 'spills_to'?")),
    ('[[pools]]\nname = "steady"', ("pool steady, max", "is missing")),
    ("[[pools]]\nmax = 1", ("pool number 1, name", "is missing")),
    (POOL + "min = 3", ("pool steady, min", "3 is more than max, 2")),
    (POOL + "warm_floor = 3", ("pool steady, warm_floor", "3 is more than max, 2")),
    (POOL + 'market = "spott"', ("pool steady, market", "'spott' is not known", "did you mean 'spot'?")),
    (POOL + 'lanes = ["payd"]', ("pool steady, lanes", "did you mean 'paid'?")),
    (POOL + "lanes = []", ("pool steady, lanes", "a list with something in it")),
    (POOL + 'models = "ink"', ("pool steady, models", "is to be a list (got 'ink')")),
    (POOL + "settings = {dtype = []}", ("pool steady, settings.dtype", "text, a number, true or false")),
    ('[[pools]]\nname = "A b"\nmax = 1', ("pool A b, name", "small letters")),
    (POOL + 'lanes = ["pro", "pro"]', ("pool steady, lanes", "'pro' stands 2 times")),
    (POOL + 'region = "eu"', ("pool steady, region", "no region 'eu'", "default")),
    ('[[regions]]\nname = "eu"\nspills_to = ["as"]\n' + POOL + 'region = "eu"', ("eu.spills_to", "no region 'as'")),
    ('[[regions]]\nname = "eu"\nspills_to = ["eu"]\n' + POOL + 'region = "eu"', ("eu.spills_to", "in vain")),
    ('regions = [{name = "default"}, {name = "default"}]\n' + POOL, ("regions", "'default' stands 2 times")),
    (POOL + POOL, ("pool steady, name", "stands 2 times")),
    (POOL + 'accelerator = "H10O"', ("pool steady, accelerator", "did you mean 'H100'?")),
    (POOL + 'accelerator = "h100"', ("pool steady, accelerator", "did you mean 'H100'?")),
    (POOL + 'accelerator = "resource:"', ("pool steady, accelerator", "names no resource")),
    (POOL + "num_gpus = 1", ("pool steady, num_gpus", "without a GPU")),
    (POOL + 'accelerator = "L4"\nnum_gpus = 0', ("pool steady, num_gpus", "is 0, with L4")),
    (POOL + 'accelerator = "L4"\nnum_gpus = 2', ("pool steady, num_gpus", "less than or equal to 1")),
    (POOL + 'models = ["mezzotint-startr"]', ("pool steady, models", "did you mean 'mezzotint-starter'?")),
    (POOL + 'accelerator = "L4"\nmemory_gb = 0.002', ("pool steady, models", "GB of weights", "larger accelerator")),
    (POOL + 'tenants = ["a b"]', ("pool steady, tenants", "cannot be a tenant's name")),
    ("cost_ceiling_per_hour = 5.0\n" + POOL, ("pool steady, price_per_hour", "is missing", "cost ceiling")),
    (
        "cost_ceiling_per_hour = 5\n" + POOL + "price_per_hour = 3\nmin = 2",
        ("cost_ceiling_per_hour", "less than the 6"),
    ),
    ("spot_share = 0.5\n" + POOL + 'market = "spot"', ("spot_share", "on-demand")),
    (POOL + "price_per_hour = nan", ("pool steady, price_per_hour", "finite")),
    (POOL + "min = true", ("pool steady, min", "a whole number (got True)")),
    (POOL + 'max_runs = "4"', ("pool steady, max_runs", "a whole number")),
    (POOL + "settings = {lease_s = 0}", ("pool steady, settings.lease_s", "greater than 1")),
    (POOL + 'settings = {dtipe = "float16"}', ("pool steady, settings.dtipe", "did you mean 'dtype'?")),
    (POOL + 'settings = {database = "x"}', ("pool steady, settings.database", "no setting that a pool's workers have")),
    (POOL + "settings = {max_runs = 4}", ("pool steady, settings.max_runs", "a key of the pool itself")),
    ("", ("pools", "is missing")),
    ("pools = 3", ("pools", "is to be a list (got 3)")),
    ("pools = [3]", ("pool number 1", "is to be a table (got 3)")),
    ("pools = []", ("pools", "a list with something in it")),
    ("[[pools]", ("is not TOML",)),
    ("a = " + "[" * 5000, ("is not TOML",)),
    ("#" * (MAX_FILE_BYTES + 1), ("longer than 256 KiB",)),
    (b"\xff", ("not UTF-8",)),
]


@pytest.mark.parametrize(("text", "said"), FAULTS, ids=[said[0] + f" ({i})" for i, (_, said) in enumerate(FAULTS)])
def test_a_fault_is_named_with_its_pool_and_key(
    tmp_path: Path, offers: tuple[ServedModel, ...], text: str | bytes, said: tuple[str, ...]
) -> None:
    file = tmp_path / "fleet.toml"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(FleetInvalid) as caught:
        read_fleet(file, lambda: offers)
    for part in said:
        assert part in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1, "one fault is told once"


def test_all_faults_are_told_at_once_and_before_models_are_looked_for(tmp_path: Path) -> None:
    file = tmp_path / "fleet.toml"
    file.write_text(POOL + 'min = 3\nwarm_floor = 4\nregion = "eu"')
    done = CliRunner().invoke(app, ["fleet", "check", str(file), "--model", "none"])
    assert done.exit_code == 2, done.output
    assert [f"pool steady, {key}" in done.output for key in ("min", "warm_floor", "region")] == [True] * 3


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["fleet", "check", str(tmp_path / "none.toml")])
    assert done.exit_code == 2
    assert "none.toml: the file cannot be read: No such file" in done.output


def test_a_pool_becomes_what_it_says() -> None:
    entry = {"name": "fast", "accelerator": "H100", "max": 3, "market": "spot", "lanes": ["pro"], "max_runs": 4}
    shared = {"name": "shared", "accelerator": "L4", "num_gpus": 0.5, "max": 1}
    custom = {"name": "own", "accelerator": "resource:fpga", "max": 1}
    fleet = read_document({"pools": [entry, shared, custom]})
    assert isinstance(fleet, Fleet)
    fast, half, own = fleet.pools
    assert (fast.num_gpus, fast.market, fast.lanes, fast.max_runs) == (1.0, Market.SPOT, (Tier.PRO,), 4)
    assert fast.device_bytes == 80 * GIB
    assert half.device_bytes == 12 * GIB
    assert (own.resource, own.accelerator, own.num_gpus, own.device_bytes) == ("fpga", "cpu", 0.0, None)


def test_a_pool_of_all_models_need_fit_one_of_them_and_not_all() -> None:
    small = Pool(name="small", accelerator="T4", num_gpus=1.0)
    sizes = {"little": 4 * GIB, "large": 30 * GIB}
    assert check_models(Fleet(pools=(small,)), sizes) == ()
    (problem,) = check_models(Fleet(pools=(small,)), {"large": 30 * GIB})
    assert (problem.pool, problem.key) == ("small", "models")
    assert check_models(Fleet(pools=(small,)), {"large": None}) == (), "quantised: its size is not known"
    named = Pool(name="small", accelerator="T4", num_gpus=1.0, models=("little", "large"))
    assert "large has 32.2 GB" in check_models(Fleet(pools=(named,)), sizes)[0].message


def test_lanes_and_models_that_no_pool_takes_are_said() -> None:
    pools = (Pool(name="a", lanes=(Tier.PRO,), models=("ink",)), Pool(name="b", tenants=("acme",), models=("ink",)))
    gaps = list_gaps(Fleet(pools=pools), ["ink", "xl"])
    assert [gap for gap in gaps if "lane free" in gap or "lane paid" in gap] == list(gaps[:2])
    assert "No pool draws xl" in gaps[2]


def test_every_setting_that_a_pool_may_have_is_one() -> None:
    values = {
        "compile": True,
        "exact": False,
        "light_first": True,
        "log_json": True,
        "dtype": "float16",
        "checkpoint_every": "auto",
    }
    pool = Pool(name="a", settings={name: values.get(name, 8) for name in WORKER_SETTINGS})
    assert check_settings(pool) == []


def test_the_tables_of_states_are_whole() -> None:
    assert set(FLEET_WORKER_TRANSITIONS) == set(FleetWorkerState)
    assert set(HEALTH_TRANSITIONS) == set(HealthVerdict)
    assert set(ROLLOUT_TRANSITIONS) == set(RolloutPhase)
    assert [state for state in FleetWorkerState if state.is_final] == [FleetWorkerState.STOPPED, FleetWorkerState.LOST]
    assert [phase for phase in RolloutPhase if phase.is_final] == [RolloutPhase.DONE, RolloutPhase.WENT_BACK]
    assert HealthVerdict.HEALTHY not in HEALTH_TRANSITIONS[HealthVerdict.QUARANTINED], "probation first"


def test_accelerators_are_named_as_the_scheduler_names_them() -> None:
    found = find_spec("ray")
    if found is None or found.origin is None:
        pytest.skip("the scheduler is not installed")
    text = (Path(found.origin).parent / "util" / "accelerators" / "accelerators.py").read_text()
    assert set(ACCELERATORS) - {"cpu"} <= set(re.findall(r'^\w+ = "(.+)"$', text, re.M))
