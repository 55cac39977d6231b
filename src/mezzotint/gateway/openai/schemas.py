"""The JSON of OpenAI's Images API, as far as this server implements it. Other fields are refused by name."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, model_validator

from mezzotint.domain.prompt import MAX_SENT_SEED
from mezzotint.gateway.schemas import MEANINGS
from mezzotint.media import Format

MAX_PICTURES = 10
"""OpenAI's own limit of `n`."""
Quality = Literal["auto", "low", "medium", "standard", "high", "hd", "xhigh", "max"]
STEPS_OF: dict[Quality, float | None] = {
    "auto": None,
    "medium": None,
    "standard": None,
    "low": 0.5,
    "high": 1.5,
    "hd": 1.5,
    "xhigh": 2.0,
    "max": float("inf"),
}
"""Multiple of the model's usual steps, up to the tier's budget; None: the prompt's steps, else the usual."""
TOLD_QUALITY: dict[Quality, Literal["low", "medium", "high"]] = {
    "auto": "medium",
    "medium": "medium",
    "standard": "medium",
    "low": "low",
    "high": "high",
    "hd": "high",
    "xhigh": "high",
    "max": "high",
}
"""The qualities that OpenAI's clients know, as answers name them."""


Fidelity = Literal["low", "high"]
EDIT_STRENGTH: dict[Fidelity, float] = {"low": 0.75, "high": 0.4}
"""Strength of an edit without a mask: the share of the steps that is run on the picture."""


class ImageOptions(BaseModel):
    """The options that generations, edits and variations share."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def leave_out_null(cls, fields: Any) -> Any:
        """Clients send null for what they leave to the server."""
        return (
            {name: value for name, value in fields.items() if value is not None} if isinstance(fields, dict) else fields
        )

    model: str | None = Field(None, max_length=200, description="an id of GET /v1/models; default: the first")
    n: int | None = Field(None, ge=1, le=MAX_PICTURES, description="how many pictures")
    size: str | None = Field(None, max_length=20, description="WIDTHxHEIGHT in px, or auto: the model's own")
    quality: Quality | None = Field(None, description="number of steps against the model's usual one")
    response_format: Literal["url", "b64_json"] | None = Field(None, description="default: b64_json")
    output_format: Literal["png", "webp", "jpeg", "gif", "svg"] | None = Field(None, description="png, webp or jpeg")
    output_compression: int | None = Field(None, ge=0, le=100, description="quality of webp and jpeg; default: 100")
    background: Literal["auto", "opaque", "transparent"] | None = Field(None, description="opaque or auto")
    stream: bool | None = Field(None, description="server-sent events instead of one answer")
    partial_images: int | None = Field(None, ge=0, le=3, description="pictures under way, with stream")
    user: str | None = Field(None, max_length=1000, description="whom you ask for: retries are told apart by it")
    style: Literal["vivid", "natural"] | None = Field(None, description="no effect; the answer says so")
    moderation: Literal["auto", "low"] | None = Field(None, description="no effect; the answer says so")
    seed: int | None = Field(
        None, ge=-1, le=MAX_SENT_SEED, description="-1: a new one; up to 2^64-1, taken modulo 2^32; not OpenAI's"
    )
    negative_prompt: str | None = Field(None, description="what must not be in the picture; not OpenAI's")
    num_inference_steps: int | None = Field(None, description="sampler steps; not OpenAI's")
    steps: int | None = Field(None, description="the same as num_inference_steps")
    num_steps: int | None = Field(None, description="the same as num_inference_steps")
    guidance_scale: float | None = Field(None, description="how hard the words pull; not OpenAI's", allow_inf_nan=False)
    cfg_scale: float | None = Field(None, description="the same as guidance_scale", allow_inf_nan=False)
    sampler: str | None = Field(None, max_length=80, description="a name of /sdapi/v1/samplers; not OpenAI's")
    sampler_name: str | None = Field(None, max_length=80, description="the same as sampler")
    scheduler: str | None = Field(None, max_length=80, description="the same as sampler")
    eta: float | None = Field(None, description="noise that each step of DDIM adds; not OpenAI's", allow_inf_nan=False)
    guidance_rescale: float | None = Field(
        None, description="contrast of guidance that is taken back; not OpenAI's", allow_inf_nan=False
    )
    clip_skip: int | None = Field(None, description="layer of the text encoders that is read; not OpenAI's")
    width: int | None = Field(None, description="px, with height; the same as size; not OpenAI's")
    height: int | None = Field(None, description="px, with width; the same as size; not OpenAI's")

    _notes: list[str] = PrivateAttr(default_factory=list)

    _fitted: tuple[int, int] | None = PrivateAttr(default=None)

    def fit(self, width: int, height: int) -> None:
        """Let the answer's pictures be resized, px."""
        self._fitted = (width, height)

    @property
    def fitted(self) -> tuple[int, int] | None:
        """The size to which the answer's pictures are resized, px."""
        return self._fitted

    def note(self, *texts: str) -> None:
        """Let the answer tell what of the request had no effect, or another."""
        self._notes += texts

    @property
    def notes(self) -> list[str]:
        ignored = [name for name in ("style", "moderation") if getattr(self, name) is not None]
        return [*(f'"{name}" has no effect here.' for name in ignored), *self._notes]

    @property
    def told_quality(self) -> Literal["low", "medium", "high"]:
        return TOLD_QUALITY[self.quality or "auto"]

    @property
    def form(self) -> Format:
        return self.output_format if self.output_format in {"webp", "jpeg"} else "png"


class NewImages(ImageOptions):
    """A picture from words. The prompt may end in parameters: `--seed 7 --no text`."""

    prompt: str


class Edit(ImageOptions):
    """A picture redrawn after words. The prompt may end in parameters."""

    prompt: str
    input_fidelity: Fidelity | None = Field(None, description="without a mask: how near to the picture")
    strength: float | None = Field(
        None, description="share of the steps that is run on the picture; not OpenAI's", allow_inf_nan=False
    )
    image_guidance: float | None = Field(
        None, description="of models that edit: how near to the picture; not OpenAI's", allow_inf_nan=False
    )


class Variation(ImageOptions):
    """A picture drawn again."""

    strength: float | None = Field(
        None, description="share of the steps that is run on the picture; not OpenAI's", allow_inf_nan=False
    )


class OpenAIImage(BaseModel):
    b64_json: str | None = None
    url: str | None = None


class InputDetails(BaseModel):
    text_tokens: int
    image_tokens: int


class Usage(BaseModel):
    """Counted in what is metered here: words of the prompts, and thousands of step-pixels of the pictures."""

    input_tokens: int
    input_tokens_details: InputDetails
    output_tokens: int
    total_tokens: int


class ImagesAnswer(BaseModel):
    created: int
    data: list[OpenAIImage]
    background: str = "opaque"
    output_format: Format
    quality: Literal["low", "medium", "high"]
    size: str
    usage: Usage
    notes: list[str] = Field(default_factory=list, description="what of the request had no effect, or another")


class OpenAIModel(BaseModel):
    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "mezzotint"
    state: Literal["cold", "loading", "warm"] | None = Field(
        None, description="whether it is in memory; null where that is not known"
    )
    alias_of: str | None = Field(None, description="the id of the model that this is a further name of")
    share: float | None = Field(None, description="of its weights, how much is read; null unless it is being loaded")


class OpenAIModels(BaseModel):
    object: Literal["list"] = "list"
    data: list[OpenAIModel]


class OpenAIErrorBody(BaseModel):
    message: str
    type: str
    param: str | None
    code: str | None


class OpenAIError(BaseModel):
    error: OpenAIErrorBody


def describe_openai_errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The error responses of a route, for its description."""
    return {status: {"model": OpenAIError, "description": MEANINGS[status]} for status in statuses}
