"""The settings that a pool's workers get."""

from mezzotint.config import Settings
from mezzotint.domain.fleet.pool import Pool
from mezzotint.domain.ids import TenantId
from mezzotint.domain.tier import Tier
from mezzotint.main.fleet.claim_limits import read_labels
from mezzotint.main.fleet.node_code import configure_worker


def test_a_pools_workers_bear_its_labels_and_keep_its_limits() -> None:
    pool = Pool(
        name="acme",
        region="eu",
        models=("a", "b"),
        lanes=(Tier.PRO,),
        tenants=(TenantId("acme"),),
        max_runs=3,
        settings={"lease_s": 7.0},
    )
    settings = configure_worker(Settings(), pool)
    labels = read_labels(settings, frozenset({"a", "b"}))
    assert (labels.pool, labels.region, labels.max_runs) == ("acme", "eu", 3)
    assert (labels.lanes, labels.tenants) == (frozenset({Tier.PRO}), frozenset({"acme"}))
    assert (settings.claim_models, settings.lease_s, settings.device) == ("a,b", 7.0, "cpu")


def test_a_worker_with_a_gpu_takes_the_one_that_ray_gives_it() -> None:
    pool = Pool(name="big", accelerator="H100", num_gpus=1.0)
    assert configure_worker(Settings(), pool).device == "auto"
