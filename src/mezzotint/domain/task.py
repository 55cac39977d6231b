"""The kinds of work a job does with pixels. All but `generate` begin with a source: a picture that is there already."""

from dataclasses import dataclass
from enum import StrEnum

from mezzotint.domain.ids import Sha256


class Task(StrEnum):
    """generate: from noise. variation: the source, drawn again from a noisy copy of it. inpaint: only where the mask is
    white. outpaint: only around the source, on a larger canvas. edit: the source, changed as the words tell. upscale:
    the source with more pixels."""

    GENERATE = "generate"
    VARIATION = "variation"
    INPAINT = "inpaint"
    OUTPAINT = "outpaint"
    EDIT = "edit"
    UPSCALE = "upscale"

    @property
    def takes_strength(self) -> bool:
        """Tell whether the task runs a share of the schedule on a noisy copy of its source."""
        return self in {Task.VARIATION, Task.INPAINT, Task.OUTPAINT}


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A stored picture that a job may begin with. content: of its PNG. Sizes in px.

    num_bytes: of the PNG of an upload that is to be kept; 0 elsewhere.
    """

    content: Sha256
    width: int
    height: int
    num_bytes: int = 0
