"""The JSON of the AUTOMATIC1111 API, as far as this server implements it.

Its clients send every field of the original. A field that would change the picture and is not implemented is refused
when it is switched on; other fields are ignored.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from mezzotint.gateway.schemas import MEANINGS

NO_SEED = -1
AUTOMATIC = frozenset({"", "automatic"})


class Txt2Img(BaseModel):
    model_config = ConfigDict(extra="ignore")

    @model_validator(mode="before")
    @classmethod
    def leave_out_null(cls, fields: Any) -> Any:
        """Clients send null for what they leave to the server."""
        return (
            {name: value for name, value in fields.items() if value is not None} if isinstance(fields, dict) else fields
        )

    prompt: str = ""
    negative_prompt: str = ""
    seed: int = Field(NO_SEED, description="-1: a new one; up to 2^64-1, taken modulo 2^32")
    steps: int | None = Field(None, description="default: the model's own")
    cfg_scale: float | None = Field(None, description="default: the model's own")
    width: int | None = Field(None, description="px; default: the model's own")
    height: int | None = Field(None, description="px; default: the model's own")
    batch_size: int = Field(1, ge=1, le=40)
    n_iter: int = Field(1, ge=1, le=40)
    sampler_name: str | None = Field(None, description="a name of /sdapi/v1/samplers; default: the model's own")
    sampler_index: str | None = Field(None, description="the older name of sampler_name")
    scheduler: str | None = Field(None, description="automatic, or karras")
    send_images: bool = True
    styles: list[str] | None = None
    subseed_strength: float | None = None
    restore_faces: bool | None = None
    tiling: bool | None = None
    enable_hr: bool | None = None
    script_name: str | None = None
    alwayson_scripts: dict[str, Any] | None = None
    override_settings: dict[str, Any] | None = None


class Img2Img(Txt2Img):
    init_images: list[str] = Field(description="one PNG, JPEG or WebP in base64, plain or as a data: URL")
    mask: str | None = Field(None, description="of the picture's size, white where to redraw; default: everywhere")
    denoising_strength: float = Field(0.75, description="share of the steps that is run on the picture")
    inpainting_mask_invert: int = Field(0, ge=0, le=1, description="1: black is redrawn")
    resize_mode: int = Field(0, ge=0, le=3, description="0 and 1: crop to the size; others are refused")
    include_init_images: bool = False


class Drawn(BaseModel):
    """The answer of txt2img and img2img. info: JSON as text."""

    images: list[str] = Field(description="PNG in base64")
    parameters: dict[str, Any]
    info: str


class SdModel(BaseModel):
    title: str
    model_name: str
    hash: str | None = None
    sha256: str | None = None
    filename: str
    config: str | None = None


class SdSampler(BaseModel):
    name: str
    aliases: list[str]
    options: dict[str, str] = Field(default_factory=dict)


class SdOptions(BaseModel):
    model_config = ConfigDict(extra="allow")

    sd_model_checkpoint: str | None = None


class ProgressState(BaseModel):
    skipped: bool = False
    interrupted: bool = False
    job: str = ""
    job_count: int
    job_timestamp: str
    job_no: int
    sampling_step: int
    sampling_steps: int


class SdProgress(BaseModel):
    progress: float
    eta_relative: float
    state: ProgressState
    current_image: str | None = Field(None, description="PNG in base64, at most 256 px")
    textinfo: str | None = None


class SdapiError(BaseModel):
    error: str
    detail: str
    body: str
    errors: str


def describe_sdapi_errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The error responses of a route, for its description."""
    return {status: {"model": SdapiError, "description": MEANINGS[status]} for status in statuses}
