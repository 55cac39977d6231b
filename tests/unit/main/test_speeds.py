"""The speeds of a served model: the list of models decides before a check's findings, and these before the card."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mezzotint.config import Settings
from mezzotint.domain.model import ForecastPolicy, Speed
from mezzotint.domain.tier import Tier
from mezzotint.engine.forecasting.settings import RULE
from mezzotint.engine.models.catalog import ForecastEntry, ModelsInvalid, read_catalog
from mezzotint.main.models import choose_speeds, weights_stamp
from mezzotint.main.served_models import Findings, ServedModel, find_models

CARD = {Speed.BALANCED: 0.05}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data=tmp_path, device="cpu")


@pytest.fixture
def starter(settings: Settings) -> ServedModel:
    (found,) = find_models(settings)
    return replace(found, info=replace(found.info, forecast=ForecastPolicy(bounds=CARD)))


def bounds(settings: Settings, offer: ServedModel) -> dict[Speed, float]:
    (found,) = choose_speeds(settings, [offer])
    return dict(found.info.forecast.bounds)


def keep_findings(
    settings: Settings, offer: ServedModel, stamp: str, fast: dict[str, float] | None, rule: int = RULE
) -> None:
    known: Any = Findings.of(settings.data).capabilities
    found = {"stamp": stamp, "batch": "yes", "resume": "yes", "exclusive": False}
    known[offer.info.name] = json.dumps({**found, "forecast": {"rule": rule, "balanced": None, "fast": fast}})


FOUND = {"bound": 0.3, "psnr_db": 50.0, "worst_db": 45.0, "distance": 0.001, "saved": 0.6}


def test_a_models_card_has_bounds(settings: Settings, starter: ServedModel) -> None:
    assert bounds(settings, starter) == CARD


def test_what_a_check_found_of_these_weights_counts_before_the_card(settings: Settings, starter: ServedModel) -> None:
    keep_findings(settings, starter, weights_stamp(starter), FOUND)
    assert bounds(settings, starter) == {Speed.FAST: 0.3}
    keep_findings(settings, starter, weights_stamp(starter), None)
    assert bounds(settings, starter) == {}, "the check found none"
    keep_findings(settings, starter, "other weights", FOUND)
    assert bounds(settings, starter) == CARD
    keep_findings(settings, starter, weights_stamp(starter), FOUND, rule=RULE - 1)
    assert bounds(settings, starter) == CARD, "a bound of another rule says nothing of today's pictures"


def test_the_list_of_models_counts_before_both(settings: Settings, starter: ServedModel) -> None:
    keep_findings(settings, starter, weights_stamp(starter), FOUND)
    entry = ForecastEntry(balanced=0.1, default={Tier.FREE: Speed.BALANCED})
    listed = replace(starter, entry=starter.entry.model_copy(update={"forecast": entry}))
    assert bounds(settings, listed) == {Speed.BALANCED: 0.1}
    tiers_alone = starter.entry.model_copy(update={"forecast": ForecastEntry(default={Tier.FREE: Speed.FAST})})
    (found,) = choose_speeds(settings, [replace(starter, entry=tiers_alone)])
    assert (found.info.forecast.bounds[Speed.FAST], found.info.forecast.default_of(Tier.FREE)) == (0.3, Speed.FAST)


@pytest.mark.parametrize(
    "bad",
    [
        "balanced = 0",
        "fast = -1",
        "fast = nan",
        "fast = 1e9",
        "fast = 'x'",
        "slow = 1",
        "default = { free = 'slow' }",
        "default = { gold = 'fast' }",
        "allowed = { free = [] }",
        "allowed = { free = ['fast'] }, default = { free = 'exact' }",
    ],
)
def test_a_list_with_a_bad_forecast_is_refused(tmp_path: Path, bad: str) -> None:
    path = tmp_path / "models.toml"
    path.write_text(f"[[models]]\nname = 'ink'\nsource = 'starter'\nforecast = {{ {bad} }}\n")
    with pytest.raises(ModelsInvalid, match=r"forecast"):
        read_catalog(path)
