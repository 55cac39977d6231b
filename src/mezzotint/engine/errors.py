"""Errors that only the engine raises; the rest of the tree stands in `domain/errors.py`."""

from mezzotint.domain.errors import JobFault, MezzotintError


class RunCancelled(JobFault):
    """The run was cancelled before it ended."""

    code = "run_cancelled"
    hint = "Submit it again if that was not meant."


class UnknownAdapter(JobFault):
    """The model has no adapter of this name."""

    code = "unknown_adapter"
    hint = "Name one that is loaded, or none."


class DeviceLost(BaseException):
    """The device computes nothing more for this process, whatever is asked of it. The process must begin anew."""


class CannotMerge(MezzotintError):
    """These calls cannot share one pass; each is made alone. Its text is the reason that is counted."""

    code = "cannot_merge"


class CannotCheckpoint(MezzotintError):
    """The run's state holds something that cannot be written without pickle; the run goes on unsaved."""

    code = "cannot_checkpoint"
