"""The JSON of OpenAI's Images API, as far as this server implements it. Other fields are ignored."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

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


Fidelity = Literal["low", "high"]
EDIT_STRENGTH: dict[Fidelity, float] = {"low": 0.75, "high": 0.4}
"""Strength of an edit without a mask: the share of the steps that is run on the picture."""


class ImageOptions(BaseModel):
    """The options that generations, edits and variations share."""

    model_config = ConfigDict(extra="ignore")

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
    user: str | None = Field(None, max_length=1000, description="ignored")

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


class Variation(ImageOptions):
    """A picture drawn again."""


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
    quality: str
    size: str
    usage: Usage


class OpenAIModel(BaseModel):
    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "mezzotint"
    state: Literal["cold", "loading", "warm"] | None = Field(
        None, description="whether it is in memory; null where that is not known"
    )
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
