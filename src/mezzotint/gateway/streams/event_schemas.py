"""The JSON of the events of a job beside its view."""

from pydantic import BaseModel, Field


class Progress(BaseModel):
    """Data of a `progress` event."""

    step: int
    num_steps: int
    preview: str | None = Field(description="data: URL of a small WebP of the picture so far")


class Loading(BaseModel):
    """Data of a `loading` event: the job waits for its model."""

    model: str
    share: float = Field(description="of the bytes of its weights, how much is read; at 1 it is being set up")


class Move(BaseModel):
    """Data of a `moved` event: the job goes on from its last checkpoint."""

    message: str = "moved to another worker"
    reason: str
