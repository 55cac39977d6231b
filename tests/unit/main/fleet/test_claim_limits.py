"""The limits of a worker's claims, from its settings."""

import pytest

from mezzotint.config import Settings
from mezzotint.domain.errors import SettingInvalid
from mezzotint.domain.tier import Tier
from mezzotint.main.fleet.claim_limits import limit_models, read_labels


def test_without_settings_a_worker_takes_everything() -> None:
    labels = read_labels(Settings(max_runs=3), frozenset({"a"}))
    assert (labels.lanes, labels.tenants, labels.models, labels.max_runs) == (frozenset(Tier), None, {"a"}, 3)
    assert limit_models(Settings(), ["a", "b"]) == {"a", "b"}


def test_limits_are_lists_with_commas() -> None:
    settings = Settings(pool="gold", region="eu", claim_lanes="pro, paid", claim_tenants="acme,", claim_models="b")
    labels = read_labels(settings, limit_models(settings, ["a", "b"]))
    assert (labels.pool, labels.region) == ("gold", "eu")
    assert (labels.lanes, labels.tenants, labels.models) == ({Tier.PRO, Tier.PAID}, {"acme"}, {"b"})


@pytest.mark.parametrize(("setting", "value"), [("claim_lanes", "pro,gold"), ("claim_models", "a,c")])
def test_an_unknown_lane_or_model_is_named(setting: str, value: str) -> None:
    settings = Settings(**{setting: value})
    with pytest.raises(SettingInvalid, match=f"{setting}: (gold|c)"):
        read_labels(settings, limit_models(settings, ["a", "b"]))
