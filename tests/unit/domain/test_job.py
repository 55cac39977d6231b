from mezzotint.domain.job import TRANSITIONS, JobState


def test_every_state_has_a_row_in_the_table() -> None:
    assert set(TRANSITIONS) == set(JobState)


def test_final_states_are_the_five_ends() -> None:
    final = {state for state in JobState if state.is_final}
    assert final == {"succeeded", "blocked", "failed", "cancelled", "expired"}


def test_an_ended_job_changes_only_by_an_admin() -> None:
    changes = {(state, after) for state in JobState if state.is_final for after in TRANSITIONS[state]}
    retried = (JobState.FAILED, JobState.QUEUED)
    taken_down, undone = (JobState.SUCCEEDED, JobState.BLOCKED), (JobState.BLOCKED, JobState.SUCCEEDED)
    assert changes == {retried, taken_down, undone}


def test_every_state_can_be_reached_from_the_queue() -> None:
    reached, waiting = {JobState.QUEUED}, [JobState.QUEUED]
    while waiting:
        for after in TRANSITIONS[waiting.pop()]:
            if after not in reached:
                reached.add(after)
                waiting.append(after)
    assert reached == set(JobState)
