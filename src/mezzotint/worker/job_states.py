"""The states of a leased job inside its worker, as a table: state and message decide the next state and the action."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class LeaseState(StrEnum):
    """The phases of a job between its claim and the moment the worker forgets it.

    starting: its checkpoint and sources are being read. running: the device has it. preempting: the device was told to
    put it aside. requeueing: its lease is being given back. finishing: its end is being written. failing: an error
    outside its run is being written as its end. lost: the lease is over and the device still has the run. released:
    the worker has forgotten it.
    """

    STARTING = "starting"
    RUNNING = "running"
    PREEMPTING = "preempting"
    REQUEUEING = "requeueing"
    FINISHING = "finishing"
    FAILING = "failing"
    LOST = "lost"
    RELEASED = "released"


class JobMessage(StrEnum):
    """An event that may change a leased job's state."""

    PREPARED = "prepared"
    STEPPED = "stepped"
    CHECKPOINTED = "checkpointed"
    PREEMPT_REQUESTED = "preempt requested"
    RUN_PREEMPTED = "run preempted"
    RUN_ENDED = "run ended"
    RUN_CANCELLED = "run cancelled"
    CHECKPOINT_REFUSED = "checkpoint refused"
    TASK_FAILED = "task failed"
    LEASE_LOST = "lease lost"
    WORKER_STOPS = "worker stops"
    WRITTEN = "written"


class JobAction(StrEnum):
    """The worker's answer to a message."""

    IGNORE = "ignore"
    START = "start the run"
    PUBLISH = "publish the step"
    SAVE = "save the checkpoint"
    PREEMPT = "preempt the run"
    REQUEUE = "give the job back"
    FINISH = "write the end"
    RESTART = "start without the checkpoint"
    FAIL = "cancel the run, write the failure"
    CANCEL = "cancel the run"
    SETTLE = "charge the cost"
    FORGET = "forget the job"


_S, _M, _A = LeaseState, JobMessage, JobAction
Transitions = Mapping[JobMessage, tuple[LeaseState, JobAction]]

_BEFORE_END: Transitions = {
    _M.RUN_ENDED: (_S.FINISHING, _A.FINISH),
    _M.CHECKPOINT_REFUSED: (_S.STARTING, _A.RESTART),
    _M.RUN_PREEMPTED: (_S.REQUEUEING, _A.REQUEUE),
    _M.TASK_FAILED: (_S.FAILING, _A.FAIL),
    _M.WORKER_STOPS: (_S.REQUEUEING, _A.REQUEUE),
}
_ON_DEVICE: Transitions = {
    **_BEFORE_END,
    _M.STEPPED: (_S.RUNNING, _A.PUBLISH),
    _M.CHECKPOINTED: (_S.RUNNING, _A.SAVE),
    _M.LEASE_LOST: (_S.LOST, _A.CANCEL),
}
_END_IS_WRITTEN: Transitions = {
    _M.WRITTEN: (_S.RELEASED, _A.FORGET),
    _M.LEASE_LOST: (_S.RELEASED, _A.FORGET),
    _M.TASK_FAILED: (_S.FAILING, _A.FAIL),
    _M.WORKER_STOPS: (_S.REQUEUEING, _A.REQUEUE),
}

TRANSITIONS: Mapping[LeaseState, Transitions] = MappingProxyType(
    {
        _S.STARTING: {
            **_BEFORE_END,
            _M.PREPARED: (_S.RUNNING, _A.START),
            _M.LEASE_LOST: (_S.LOST, _A.CANCEL),
        },
        _S.RUNNING: {**_ON_DEVICE, _M.PREEMPT_REQUESTED: (_S.PREEMPTING, _A.PREEMPT)},
        _S.PREEMPTING: {
            **_ON_DEVICE,
            _M.STEPPED: (_S.PREEMPTING, _A.PUBLISH),
            _M.CHECKPOINTED: (_S.PREEMPTING, _A.SAVE),
        },
        _S.REQUEUEING: _END_IS_WRITTEN,
        _S.FINISHING: _END_IS_WRITTEN,
        _S.FAILING: {**_END_IS_WRITTEN, _M.TASK_FAILED: (_S.RELEASED, _A.FORGET)},
        _S.LOST: {
            _M.PREPARED: (_S.RELEASED, _A.FORGET),
            _M.RUN_ENDED: (_S.RELEASED, _A.SETTLE),
            _M.RUN_CANCELLED: (_S.RELEASED, _A.SETTLE),
            _M.CHECKPOINT_REFUSED: (_S.RELEASED, _A.SETTLE),
            _M.RUN_PREEMPTED: (_S.RELEASED, _A.FORGET),
            _M.TASK_FAILED: (_S.RELEASED, _A.FORGET),
        },
        _S.RELEASED: {},
    }
)
"""State -> message -> next state, action. A message that a state does not list is ignored: `RUN_CANCELLED` of a job
under lease, for instance, is of the run of an earlier lease of the same job."""


def next_state(state: LeaseState, message: JobMessage) -> tuple[LeaseState, JobAction]:
    """Look the message up in the table."""
    return TRANSITIONS[state].get(message, (state, JobAction.IGNORE))
