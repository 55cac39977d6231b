"""The account of passes adds up, and forgets what is no longer so."""

import torch

from mezzotint.engine import Run
from mezzotint.engine.batching.meter import CURVE_MEMORY_PASSES, MAX_REASONS, CostCurve, PassMeter
from mezzotint.engine.device.clock import HostClock, Span
from mezzotint.engine.numerics import Numerics
from mezzotint.engine.proxy import Call


def meter(*modules: torch.nn.Module) -> PassMeter:
    numerics = Numerics(device=torch.device("cpu"), dtype=torch.float32, exact=True)
    return PassMeter(numerics, {id(module): "unet" for module in modules})


def lasting(seconds: float) -> Span:
    return Span(HostClock(), 0.0, seconds)


def test_a_curve_keeps_the_least_of_the_last_eight_passes_of_each_width() -> None:
    curve = CostCurve()
    for spent_s in (0.1, *[0.5] * 7):
        curve.add(2, spent_s)
    curve.add(4, 0.9)
    assert curve.least == {2: 0.1, 4: 0.9}
    curve.add(2, 0.5)
    assert curve.least == {2: 0.5, 4: 0.9}, "the quick one is nine passes ago"


def test_a_width_that_was_not_seen_for_long_is_forgotten() -> None:
    curve = CostCurve()
    curve.add(1, 0.3)
    for _ in range(CURVE_MEMORY_PASSES):
        curve.add(2, 0.4)
    assert curve.least == {1: 0.3, 2: 0.4}
    curve.add(2, 0.4)
    assert curve.least == {2: 0.4}


def test_costs_are_learnt_by_denoiser_and_shape_whatever_the_rows() -> None:
    module = torch.nn.Identity()
    known = meter(module)
    known.learn_cost(Call(module, (torch.zeros(3, 4, 8, 8),), {}, None), lasting(0.2))
    assert known.read_costs(Call(module, (torch.zeros(1, 4, 8, 8),), {}, None)) == {3: 0.2}
    assert known.read_costs(Call(module, (torch.zeros(1, 4, 8, 16),), {}, None)) == {}
    assert known.read_costs(Call(module, (), {}, None)) == {}, "a call without rows has no costs"


def test_reasons_are_bounded_and_the_rest_counts_as_other() -> None:
    counted = meter()
    for i in range(MAX_REASONS + 5):
        counted.count_unmerged(f"reason {i}")
    counted.count_unmerged("reason 0")
    assert len(counted.unmerged_reasons) == MAX_REASONS + 1
    assert counted.unmerged_reasons["other"] == 5
    assert counted.unmerged_reasons["reason 0"] == 2


def test_a_pass_is_charged_by_rows() -> None:
    counted = meter()
    small, large = Run(id=1), Run(id=2, cost_s=1.0)
    counted.charge(
        [small, large], [1, 3, 4], lasting(8.0)
    )  # the third call is a copy that fills the pass, charged to nobody
    assert (small.cost_s, large.cost_s) == (1.0, 4.0)
    assert (counted.pass_s, counted.num_passes) == (8.0, 1)


def test_the_first_pass_of_each_width_is_not_judged_on_a_device() -> None:
    module = torch.nn.Identity()
    gpu = Numerics(device=torch.device("cuda"), dtype=torch.float16, exact=False)
    known = PassMeter(gpu, {id(module): "unet"})

    def learn(rows: int, spent_s: float) -> dict[int, float]:
        call = Call(module, (torch.zeros(rows, 4, 8, 8),), {}, None)
        known.learn_cost(call, lasting(spent_s))
        return dict(known.read_costs(call))

    assert learn(16, 3.0) == {}
    assert learn(2, 0.9) == {}
    assert learn(2, 0.04) == {2: 0.04}
    assert learn(16, 0.2) == {2: 0.04, 16: 0.2}, "the three seconds that all libraries took are in no width's account"
