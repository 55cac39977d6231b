"""Comparisons are remembered while they hold: not beyond a write, and not for another tensor at the same address."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from mezzotint.engine import Hub
from mezzotint.engine.batching import equality as equality_module
from mezzotint.engine.batching import passes as passes_module
from mezzotint.engine.batching.equality import MAX_PAIRS, EqualityCache
from tests.conformance.engine.driving import finish, run_alone, same_pictures
from tests.conformance.engine.zoo import flux, flux_request


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """The shapes of all tensors that were compared."""
    shapes: list[tuple[int, ...]] = []
    real = torch.equal

    def equal(a: torch.Tensor, b: torch.Tensor) -> bool:
        shapes.append(tuple(a.shape))
        return real(a, b)

    monkeypatch.setattr(equality_module.torch, "equal", equal)
    return shapes


@pytest.fixture
def cache() -> EqualityCache:
    return EqualityCache(lambda tensor: True)


def test_two_tensors_are_compared_once(cache: EqualityCache, asked: list[tuple[int, ...]]) -> None:
    a, b, c = torch.ones(3), torch.ones(3), torch.zeros(3)
    for _ in range(3):
        assert cache.all_equal([a, a])
        assert cache.all_equal([a, b])
        assert not cache.all_equal([a, c])
        assert not cache.all_equal([a, torch.ones(4)])
    assert len(asked) == 2


@pytest.mark.parametrize(
    "write",
    [
        lambda tensor: tensor.add_(1),
        lambda tensor: tensor.view(-1)[:1].zero_(),
        lambda tensor: tensor.detach().mul_(2),
        lambda tensor: torch.add(tensor, 1, out=tensor),
        lambda tensor: tensor.copy_(torch.zeros(3)),
        lambda tensor: tensor.set_(torch.zeros(3).untyped_storage(), 0, (3,), (1,)),
    ],
    ids=["in place", "a view", "detached", "out", "copy", "set"],
)
def test_a_write_to_either_is_seen(cache: EqualityCache, write: Callable[[torch.Tensor], object]) -> None:
    for place in (0, 1):
        pair = [torch.ones(3), torch.ones(3)]
        assert cache.all_equal(pair)
        write(pair[place])
        assert not cache.all_equal(pair)


def test_another_part_form_or_dtype_of_the_same_memory_is_another_tensor(cache: EqualityCache) -> None:
    memory, ones = torch.tensor([[1.0, 1.0], [0.0, 1.0]]), torch.ones(2)
    assert cache.all_equal([memory[0], ones])
    assert not cache.all_equal([memory[1], ones])
    assert cache.all_equal([memory[:, 1], ones])
    assert not cache.all_equal([memory[:, 0], ones])
    assert cache.all_equal([memory, memory.clone()])
    assert not cache.all_equal([memory, memory.t()])
    assert not cache.all_equal([ones.view(torch.int32), torch.ones(2, dtype=torch.int32)])


def test_a_tensor_that_lies_where_a_freed_one_lay_is_compared_anew(cache: EqualityCache) -> None:
    ones, memory = torch.ones(64), np.empty(64, np.float32)
    for i in range(20):
        memory[:] = i % 2
        other = torch.from_numpy(memory)
        assert other.data_ptr() == memory.ctypes.data
        assert cache.all_equal([ones, other]) == (i % 2 == 1)
        del other


def test_tensors_whose_writes_leave_no_trace_are_compared_every_time(
    cache: EqualityCache, asked: list[tuple[int, ...]]
) -> None:
    with torch.inference_mode():
        a, b = torch.ones(3), torch.ones(3)
        assert cache.all_equal([a, b])
        a.zero_()
        assert not cache.all_equal([a, b])
    assert len(asked) == 2


def test_what_is_remembered_is_bounded(cache: EqualityCache) -> None:
    one, kept = torch.ones(1), [torch.ones(1) for _ in range(MAX_PAIRS + 5)]
    assert all(cache.all_equal([one, other]) for other in kept)
    assert len(cache._found) <= MAX_PAIRS
    for _ in range(MAX_PAIRS + 5):
        cache.all_equal([one, torch.ones(1)])
    assert len(cache._found) <= MAX_PAIRS


def test_nothing_is_remembered_on_a_cpu(asked: list[tuple[int, ...]]) -> None:
    plain = EqualityCache()
    a, b = torch.ones(3), torch.ones(3)
    assert plain.all_equal([a, b])
    assert plain.all_equal([a, b])
    assert len(asked) == 2


def test_what_runs_share_is_compared_once_for_all_their_steps(
    asked: list[tuple[int, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = flux()
    alone = [run_alone(pipeline, flux_request(i, 6)) for i in range(3)]
    counted = {}
    caches = {"device": EqualityCache(lambda tensor: True), "host": EqualityCache(lambda tensor: False)}
    for name, cache in caches.items():
        monkeypatch.setattr(passes_module, "EqualityCache", lambda made=cache: made)
        hub = Hub(pipeline)
        asked.clear()
        runs = [hub.submit(flux_request(i, 6)) for i in range(3)]
        finish(hub, *runs)
        assert all(same_pictures(a, b) for a, b in zip(alone, runs, strict=True))
        counted[name] = sum(len(shape) == 2 for shape in asked)  # positions of texts and patches
    assert counted["device"] <= 2 * 2
    assert counted["host"] >= 6 * counted["device"]
