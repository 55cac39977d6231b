"""A turn is planned before anything is computed: which calls share a pass, and what follows a pass that failed."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mezzotint.engine import Parked
from mezzotint.engine.batching.plan import (
    MAX_WAIT_TURNS,
    NOT_ALIKE,
    ParkedCall,
    PlannedPass,
    Setback,
    TurnPlan,
    Way,
    plan_turn,
    revise,
)


def call(id: int, key: str = "a", *, rows: int = 1, waited_turns: int = 1, **facts: Any) -> ParkedCall:
    run = Parked(
        id=id,
        label="",
        batch_key=0,
        rows=rows,
        steps=0,
        num_steps=None,
        waited_turns=waited_turns,
        turns=waited_turns,
        cost_s=0.0,
        pass_s={},
    )
    return ParkedCall(run=run, module=7, key=key, **facts)


def ids(planned: PlannedPass) -> tuple[int, ...]:
    return tuple(call.run.id for call in planned.calls)


def outline(plan: TurnPlan | Sequence[PlannedPass]) -> list[tuple[Way, tuple[int, ...]]]:
    passes = plan.passes if isinstance(plan, TurnPlan) else plan
    return [(planned.way, ids(planned)) for planned in passes]


def test_calls_of_one_key_share_a_pass_and_the_order_is_kept() -> None:
    plan = plan_turn([call(1, "a"), call(2, "b"), call(3, "a"), call(4, "b")], max_rows=16)
    assert outline(plan) == [(Way.MERGED, (1, 3)), (Way.MERGED, (2, 4))]
    assert plan.unmerged == ()


def test_a_call_unlike_all_others_goes_alone_and_the_reason_is_told() -> None:
    plan = plan_turn([call(1, "a"), call(2, "b"), call(3, "a")], max_rows=16)
    assert outline(plan) == [(Way.MERGED, (1, 3)), (Way.ALONE, (2,))]
    assert plan.unmerged == (NOT_ALIKE,)


def test_nothing_is_told_of_a_run_that_has_no_company() -> None:
    assert plan_turn([call(1)], max_rows=16) == TurnPlan((PlannedPass(Way.ALONE, (call(1),)),))
    assert plan_turn([], max_rows=16, choose=lambda parked: []) == TurnPlan(())


@pytest.mark.parametrize("has_fixed_rows", [False, True])
def test_a_call_that_cannot_be_merged_is_never_planned_with_another(has_fixed_rows: bool) -> None:
    calls = [call(1, refusal="no argument has rows"), call(2, refusal="no argument has rows"), call(3), call(4)]
    plan = plan_turn(calls, max_rows=16, has_fixed_rows=has_fixed_rows)
    assert outline(plan) == [(Way.ALONE, (1,)), (Way.ALONE, (2,)), (Way.MERGED, (3, 4))]
    assert plan.unmerged == ("no argument has rows",) * 2


def test_passes_of_one_fixed_width_are_merged_even_for_a_single_call() -> None:
    assert outline(plan_turn([call(1)], max_rows=4, has_fixed_rows=True)) == [(Way.MERGED, (1,))]


def test_texts_of_unequal_length_are_padded_and_equal_ones_are_not() -> None:
    unequal = [call(1, text_length=16), call(2, text_length=32)]
    assert outline(plan_turn(unequal, max_rows=16)) == [(Way.PADDED, (1, 2))]
    equal = [call(1, text_length=16), call(2, text_length=16)]
    assert outline(plan_turn(equal, max_rows=16)) == [(Way.MERGED, (1, 2))]


def test_a_group_is_cut_at_the_widest_pass_and_a_single_call_may_be_wider() -> None:
    calls = [call(1, rows=2), call(2, rows=2), call(3, rows=2), call(4, rows=9), call(5, rows=1)]
    passes = outline(plan_turn(calls, max_rows=4))
    assert passes == [(Way.MERGED, (1, 2)), (Way.ALONE, (3,)), (Way.ALONE, (4,)), (Way.ALONE, (5,))]


def test_a_run_ahead_within_its_step_waits_for_the_others_but_not_for_ever() -> None:
    behind = call(2, "first", phase=0, calls_per_step=2)
    ahead = call(1, "second", phase=1, calls_per_step=2)
    assert outline(plan_turn([ahead, behind], max_rows=16)) == [(Way.ALONE, (2,))]
    tired = call(1, "second", phase=1, calls_per_step=2, waited_turns=MAX_WAIT_TURNS + 1)
    assert outline(plan_turn([tired, behind], max_rows=16)) == [(Way.ALONE, (1,)), (Way.ALONE, (2,))]
    of_one_call = call(2, "first", phase=0, calls_per_step=1)
    assert len(plan_turn([ahead, of_one_call], max_rows=16).passes) == 2, "its next call belongs to the next step"


def test_the_policy_sees_the_groups_and_its_choice_is_planned() -> None:
    seen: list[tuple[int, int]] = []

    def choose(parked: Sequence[Parked]) -> list[int]:
        seen.extend((run.id, run.batch_key) for run in parked)
        return [3, 2]

    plan = plan_turn([call(1, "a"), call(2, "b"), call(3, "a")], max_rows=16, choose=choose)
    assert seen == [(1, 0), (3, 0), (2, 1)]
    assert outline(plan) == [(Way.ALONE, (3,)), (Way.ALONE, (2,))]


def test_a_policy_that_chooses_nobody_gets_the_first_call() -> None:
    assert outline(plan_turn([call(1), call(2)], max_rows=16, choose=lambda parked: [])) == [(Way.ALONE, (1,))]


FOUR = tuple(call(i, text_length=16 * (i % 2)) for i in range(4))


@pytest.mark.parametrize(
    ("way", "setback", "then"),
    [
        (Way.PADDED, Setback.NO_LAYOUT, [(Way.MERGED, (0, 2)), (Way.MERGED, (1, 3))]),
        (Way.PADDED, Setback.TOO_WIDE, [(Way.PADDED, (0, 1)), (Way.PADDED, (2, 3))]),
        (Way.MERGED, Setback.NO_LAYOUT, [(Way.ALONE, (i,)) for i in range(4)]),
        (Way.MERGED, Setback.TOO_WIDE, [(Way.PADDED, (0, 1)), (Way.PADDED, (2, 3))]),
    ],
)
def test_what_follows_a_failed_pass(way: Way, setback: Setback, then: list[Any]) -> None:
    assert outline(revise(PlannedPass(way, FOUR), setback)) == then


@pytest.mark.parametrize("setback", Setback)
@pytest.mark.parametrize("has_fixed_rows", [False, True])
def test_a_single_call_that_fails_merged_is_made_alone(setback: Setback, has_fixed_rows: bool) -> None:
    failed = PlannedPass(Way.MERGED, (call(1),))
    assert outline(revise(failed, setback, has_fixed_rows=has_fixed_rows)) == [(Way.ALONE, (1,))]


CALLS = st.lists(
    st.builds(
        lambda key, rows, length, refusal: (key, rows, length, refusal),
        st.sampled_from("abc"),
        st.integers(1, 5),
        st.sampled_from([0, 16, 32]),
        st.sampled_from([None, None, "no rows"]),
    ),
    max_size=12,
)


@given(CALLS, st.integers(1, 8), st.booleans(), st.data())
def test_every_call_is_made_exactly_once_whatever_fails(
    drawn: list[Any], max_rows: int, has_fixed_rows: bool, data: st.DataObject
) -> None:
    calls = [
        call(i, key, rows=rows, text_length=length, refusal=refusal)
        for i, (key, rows, length, refusal) in enumerate(drawn)
    ]
    pending = list(plan_turn(calls, max_rows=max_rows, has_fixed_rows=has_fixed_rows).passes)
    assert sorted(id for planned in pending for id in ids(planned)) == list(range(len(calls)))
    assert all(len(p.calls) == 1 or sum(c.run.rows for c in p.calls) <= max_rows for p in pending)
    made: list[int] = []
    for _ in range(200):
        if not pending:
            break
        planned = pending.pop(0)
        fails = planned.way is not Way.ALONE and data.draw(st.sampled_from([None, *Setback]))
        if fails:
            pending[:0] = revise(planned, fails, has_fixed_rows=has_fixed_rows)
        else:
            made += ids(planned)
    assert sorted(made) == list(range(len(calls)))


def test_a_group_is_cut_at_the_width_that_fits_into_memory_and_a_call_beyond_it_goes_alone() -> None:
    calls = [call(i, rows=2, widest=4) for i in range(5)]
    assert outline(plan_turn(calls, max_rows=16)) == [
        (Way.MERGED, (0, 1)),
        (Way.MERGED, (2, 3)),
        (Way.ALONE, (4,)),
    ]
    assert outline(plan_turn([call(1, rows=8, widest=4)], max_rows=16)) == [(Way.ALONE, (1,))]


def test_a_pass_that_ran_out_of_memory_is_made_again_at_the_width_that_fits() -> None:
    failed = PlannedPass(Way.MERGED, tuple(call(i, rows=2) for i in range(5)))
    assert outline(revise(failed, Setback.OUT_OF_MEMORY, widest=6)) == [(Way.MERGED, (0, 1, 2)), (Way.MERGED, (3, 4))]
    assert outline(revise(failed, Setback.OUT_OF_MEMORY, widest=0)) == [(Way.ALONE, (i,)) for i in range(5)]
