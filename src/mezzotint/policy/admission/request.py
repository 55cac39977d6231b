"""What a user asks for."""

from dataclasses import dataclass

from mezzotint.domain.task import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRequest:
    """What a user asks for, as sent. A field may instead be written in the prompt (`--seed 7`), not in both.

    model: its name; None: the default.
    source, mask: a picture's hash, or a job's id for its first picture. zoom, left, top, right, bottom: how an outpaint
    grows the canvas; the sides in px. is_plain: braces in the prompt are characters, not choices.
    """

    prompt: str
    model: str | None = None
    negative_prompt: str | None = None
    seed: int | None = None
    num_steps: int | None = None
    width: int | None = None
    height: int | None = None
    task: Task = Task.GENERATE
    source: str | None = None
    mask: str | None = None
    strength: float | None = None
    scale: int | None = None
    zoom: float | None = None
    left: int | None = None
    top: int | None = None
    right: int | None = None
    bottom: int | None = None
    guidance_scale: float | None = None
    sampler: str | None = None
    repeat: int | None = None
    is_plain: bool = False
