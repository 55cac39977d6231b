"""A request for jobs: as it was sent, and with its texts read."""

from dataclasses import dataclass

from mezzotint.domain.model import Speed
from mezzotint.domain.prompt import Prompt
from mezzotint.domain.refusal import Refusal
from mezzotint.domain.style import WantedStyle
from mezzotint.domain.task import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRequest:
    """A request as it was sent. A field may instead be written in the prompt (`--seed 7`), not in both.

    model: its name; None: the default.
    source, mask: a picture's hash, or a job's id for its first picture. zoom, left, top, right, bottom: how an outpaint
    grows the canvas; the sides in px. is_plain: braces in the prompt are characters, not choices,
    and parameters are read at its end alone. is_new: no stored picture answers it.
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
    eta: float | None = None
    guidance_rescale: float | None = None
    clip_skip: int | None = None
    image_guidance: float | None = None
    repeat: int | None = None
    is_plain: bool = False
    is_new: bool = False
    styles: tuple[WantedStyle, ...] = ()
    speed: Speed | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedRequest:
    """A request whose texts were read, once; every check and every decision takes this.

    prompts: one for each of its choices, in their order; a refusal where the texts cannot be read.
    """

    request: JobRequest
    prompts: tuple[Prompt, ...] | Refusal

    @property
    def has_fixed_seed(self) -> bool:
        """Tell whether a repetition of the request would draw the same pictures."""
        if self.request.seed is not None or isinstance(self.prompts, Refusal):
            return self.request.seed is not None
        return all(prompt.seed is not None for prompt in self.prompts)
