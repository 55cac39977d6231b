"""The state table of a leased job: every state and every message, cell by cell."""

from itertools import product

import pytest

from mezzotint.worker.job_states import JobAction, JobMessage, LeaseState, next_state

TABLE = """
                    | starting            | running             | preempting          | requeueing          | finishing           | failing          | lost
prepared            | running START       | -                   | -                   | -                   | -                   | -                | released FORGET
stepped             | -                   | running PUBLISH     | preempting PUBLISH  | -                   | -                   | -                | -
checkpointed        | -                   | running SAVE        | preempting SAVE     | -                   | -                   | -                | -
preempt requested   | -                   | preempting PREEMPT  | -                   | -                   | -                   | -                | -
run preempted       | requeueing REQUEUE  | requeueing REQUEUE  | requeueing REQUEUE  | -                   | -                   | -                | released FORGET
run ended           | finishing FINISH    | finishing FINISH    | finishing FINISH    | -                   | -                   | -                | released SETTLE
run cancelled       | -                   | -                   | -                   | -                   | -                   | -                | released SETTLE
checkpoint refused  | starting RESTART    | starting RESTART    | starting RESTART    | -                   | -                   | -                | released SETTLE
task failed         | failing FAIL        | failing FAIL        | failing FAIL        | failing FAIL        | failing FAIL        | released FORGET  | released FORGET
lease lost          | lost CANCEL         | lost CANCEL         | lost CANCEL         | released FORGET     | released FORGET     | released FORGET  | -
worker stops        | requeueing REQUEUE  | requeueing REQUEUE  | requeueing REQUEUE  | requeueing REQUEUE  | requeueing REQUEUE  | requeueing REQUEUE | -
written             | -                   | -                   | -                   | released FORGET     | released FORGET     | released FORGET  | -
"""  # noqa: E501 - a table
"""Written by hand, apart from the code: next state and action; "-": the message is ignored."""


def read_table() -> dict[tuple[LeaseState, JobMessage], tuple[LeaseState, JobAction]]:
    head, *rows = [[cell.strip() for cell in line.split("|")] for line in TABLE.strip("\n").splitlines()]
    expected = {}
    for message, *cells in rows:
        for state, cell in zip(head[1:], cells, strict=True):
            after, action = (state, "IGNORE") if cell == "-" else cell.split()
            expected[LeaseState(state), JobMessage(message)] = LeaseState(after), JobAction[action]
    return expected


EXPECTED = read_table()


@pytest.mark.parametrize(("state", "message"), EXPECTED)
def test_a_message_leads_to_the_next_state_and_its_action(state: LeaseState, message: JobMessage) -> None:
    assert next_state(state, message) == EXPECTED[state, message]


def test_the_table_knows_every_state_and_every_message() -> None:
    assert set(EXPECTED) == set(product(set(LeaseState) - {LeaseState.RELEASED}, JobMessage))


@pytest.mark.parametrize("message", JobMessage)
def test_a_released_job_ignores_every_message(message: JobMessage) -> None:
    assert next_state(LeaseState.RELEASED, message) == (LeaseState.RELEASED, JobAction.IGNORE)


def test_every_state_is_reached_and_left() -> None:
    reached = {after for after, _ in EXPECTED.values()}
    assert reached == set(LeaseState)
    for state in set(LeaseState) - {LeaseState.RELEASED}:
        assert any(after is not state for (before, _), (after, _) in EXPECTED.items() if before is state)
