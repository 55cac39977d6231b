"""Calls of all runs that take no pass, answered together: a device is asked once for what decides on them."""

from collections.abc import Sequence

import torch

from mezzotint.domain.errors import RunFailed
from mezzotint.engine.batching.passes import Outcome
from mezzotint.engine.execution import Execution
from mezzotint.engine.forecasting.history import CallHistory


def foretell_calls(waiting: Sequence[Execution]) -> list[Outcome]:
    """The outcomes of those parked calls that are foretold, or whose run cannot go on."""
    able = [execution for execution in waiting if execution.forecaster is not None]
    _read([history for e in able if e.forecaster is not None for history in e.forecaster.list_unread(e.place)])
    outcomes = []
    for execution in able:
        assert execution.forecaster is not None
        try:
            output = execution.forecaster.foretell(execution.call, execution.place)
        except RunFailed as error:
            outcomes.append(Outcome(execution, error=error))
        else:
            if output is not None:
                outcomes.append(Outcome(execution, output))
    return outcomes


def _read(histories: Sequence[CallHistory]) -> None:
    """Wait for the device once, whatever the number of runs."""
    measured = [history.measured for history in histories if history.measured is not None]
    if measured:
        numbers = torch.stack([one.to(measured[0].device) for one in measured]).tolist()
        for history, read in zip(histories, numbers, strict=True):
            history.read = read
