"""Laws of merging: a denoiser that treats rows alike cannot tell a merged call from separate ones."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mezzotint.engine.batching.merge import LAYOUTS, Layout, batch_key, merge, rows_of, split
from mezzotint.engine.errors import CannotMerge
from mezzotint.engine.proxy import Call

MODULE = torch.nn.Identity()


def call(rows: int, seed: int, *, time_is: str = "scalar", lists: bool = False, has_one: bool = True) -> Call:
    """A call with every kind of argument: rows, a scalar or rows of time, shared tables, nested residuals, flags.

    Where samples are lists, a tuple with as many members as there are samples could be either: it is left out.
    """
    draw = torch.Generator().manual_seed(seed)
    time = {"scalar": torch.tensor(float(seed)), "rows": torch.full((rows,), float(seed)), "number": seed}[time_is]
    samples: Any = torch.randn(rows, 3, generator=draw)
    kwargs = {"timestep": time, "table": torch.arange(5.0), "return_dict": False}
    if not lists:
        nested = {"a": torch.randn(rows, 1, generator=draw)}
        kwargs["residuals"] = (torch.randn(rows, 2, generator=draw), nested)
    if has_one:
        kwargs["one"] = torch.full((1, 2), float(seed))
    return Call(module=MODULE, args=(list(samples) if lists else samples,), kwargs=kwargs, cache_context=None)


def rowwise(args: Any, kwargs: dict[str, Any]) -> Any:
    """A denoiser in miniature: every output row depends on its own row of every argument."""
    sample = torch.stack(list(args[0]))
    rows = len(sample)
    time = torch.as_tensor(kwargs["timestep"], dtype=torch.float32).expand(rows)[:, None]
    one = kwargs.get("one", torch.zeros(1, 2)).expand(rows, -1).sum(1, keepdim=True)
    residuals = kwargs.get("residuals", (torch.zeros(rows, 2), {"a": torch.zeros(rows, 1)}))
    mixed = sample * 2 + time + one + residuals[0].sum(1, keepdim=True) + kwargs["table"].sum()
    return mixed, [mixed * 3, residuals[1]["a"] + time]


def same(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))


calls_strategy = st.lists(st.tuples(st.integers(1, 4), st.integers(0, 50)), min_size=2, max_size=5)


@settings(deadline=None, max_examples=80)
@given(calls_strategy, st.sampled_from(["scalar", "rows", "number"]), st.booleans(), st.booleans())
def test_a_merged_call_split_again_is_the_separate_calls(
    forms: list[tuple[int, int]], time_is: str, lists: bool, expand_all: bool
) -> None:
    has_one = len({rows for rows, _ in forms}) == 1
    calls = [call(rows, seed, time_is=time_is, lists=lists, has_one=has_one) for rows, seed in forms]
    assert len({batch_key(c) for c in calls}) == 1
    merged = merge(calls, Layout(), expand_all=expand_all)
    parts = split(rowwise(merged.args, merged.kwargs), [rows_of(c) for c in calls], Layout(), lists=False)
    assert all(same(part, rowwise(c.args, c.kwargs)) for part, c in zip(parts, calls, strict=True))


@settings(deadline=None, max_examples=60)
@given(st.integers(2, 4), st.lists(st.integers(0, 50), min_size=2, max_size=5), st.booleans())
def test_interleaving_keeps_thirds_together(rows: int, seeds: list[int], lists: bool) -> None:
    layout = Layout(interleaved=True)
    calls = [call(rows, seed, time_is="rows", lists=lists) for seed in seeds]
    merged = merge(calls, layout)
    parts = split(rowwise(merged.args, merged.kwargs), [rows] * len(seeds), layout, lists=False)
    assert all(same(part, rowwise(c.args, c.kwargs)) for part, c in zip(parts, calls, strict=True))
    firsts = torch.stack(list(merged.args[0]))[: len(seeds)]
    assert torch.equal(firsts, torch.stack([c.args[0][0] for c in calls]))


@settings(deadline=None, max_examples=60)
@given(calls_strategy, st.integers(0, 3))
def test_parts_own_their_memory(forms: list[tuple[int, int]], victim: int) -> None:
    calls = [call(rows, seed) for rows, seed in forms]
    output = torch.randn(sum(rows for rows, _ in forms), 2)
    parts = split(output, [rows_of(c) for c in calls], Layout(), lists=False)
    parts[victim % len(parts)].fill_(7)
    rest = [part for i, part in enumerate(parts) if i != victim % len(parts)]
    assert not any((part == 7).any() for part in rest)
    assert not (output == 7).any()


@pytest.mark.parametrize(
    "change",
    [
        {"table": torch.arange(6.0)},
        {"return_dict": True},
        {"residuals": (torch.zeros(2, 2),)},
        {"one": torch.zeros(1, 2, dtype=torch.float64)},
        {"extra": 1},
        {"timestep": torch.tensor([1.0, 2.0])},
    ],
)
def test_calls_of_another_form_have_another_batch_key(change: dict[str, Any]) -> None:
    one, other = call(2, 0), call(2, 1)
    other.kwargs = other.kwargs | change
    assert batch_key(one) != batch_key(other)


def test_rows_in_another_memory_order_have_another_batch_key() -> None:
    usual = torch.randn(2, 4, 3, 3)
    calls = [
        Call(module=MODULE, args=(sample,), kwargs={}, cache_context=None)
        for sample in (usual, usual.to(memory_format=torch.channels_last))
    ]
    assert batch_key(calls[0]) != batch_key(calls[1])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_tables_that_differ_are_never_merged(layout: Layout) -> None:
    one, other = call(2, 0), call(2, 1)
    other.kwargs["table"] = torch.arange(5.0) + 1
    with pytest.raises(CannotMerge):
        merge([one, other], layout)


def test_what_was_decided_depends_on_whether_values_are_equal() -> None:
    shared = merge([call(2, 3), call(2, 3)], Layout()).decisions
    apart = merge([call(2, 3), call(2, 4)], Layout()).decisions
    assert shared != apart


def test_objects_are_shared_only_if_they_are_the_same() -> None:
    store = object()
    calls = [call(1, i) for i in range(3)]
    for c, held in zip(calls, (store, store, object()), strict=True):
        c.kwargs["store"] = held
    assert merge(calls[:2], Layout()).kwargs["store"] is store
    assert batch_key(calls[0]) != batch_key(calls[2])
    with pytest.raises(CannotMerge):
        merge(calls, Layout())


def test_a_call_without_rows_cannot_be_merged() -> None:
    with pytest.raises(CannotMerge):
        batch_key(Call(module=MODULE, args=(1,), kwargs={"x": None}, cache_context=None))
