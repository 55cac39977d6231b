"""The JSON of the AUTOMATIC1111 API, as far as this server implements it.

Its clients send every field of the original. A field that would change the picture and is not implemented is refused
when it is switched on; other fields are ignored.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from mezzotint.domain.model import MAX_SIDE_PX
from mezzotint.gateway.schemas import MEANINGS

NO_SEED = -1
NO_UPSCALER = "None"
MAX_PICTURES = 40
"""Limit of one request, for all that it draws or enlarges."""


class SdapiRequest(BaseModel):
    model_config = ConfigDict(extra="ignore")

    @model_validator(mode="before")
    @classmethod
    def leave_out_null(cls, fields: Any) -> Any:
        """Clients send null for what they leave to the server."""
        return (
            {name: value for name, value in fields.items() if value is not None} if isinstance(fields, dict) else fields
        )


class Txt2Img(SdapiRequest):
    prompt: str = ""
    negative_prompt: str = ""
    seed: int = Field(NO_SEED, description="-1: a new one; up to 2^64-1, taken modulo 2^32")
    steps: int | None = Field(None, description="default: the model's own")
    cfg_scale: float | None = Field(None, description="default: the model's own")
    width: int | None = Field(None, description="px; default: the model's own")
    height: int | None = Field(None, description="px; default: the model's own")
    batch_size: int = Field(1, ge=1, le=MAX_PICTURES)
    n_iter: int = Field(1, ge=1, le=MAX_PICTURES)
    sampler_name: str | None = Field(None, description="a name of /sdapi/v1/samplers; default: the model's own")
    sampler_index: str | None = Field(None, description="the older name of sampler_name")
    scheduler: str | None = Field(
        None,
        description="a name of /sdapi/v1/schedulers; another is ignored, as `info` tells",
    )
    eta: float | None = Field(None, description="heeded with samplers that add noise by it, else ignored")
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
    init_images: list[str] = Field(description="one picture in base64, plain or as a data: URL")
    mask: str | None = Field(None, description="of the picture's size, white where to redraw; default: everywhere")
    denoising_strength: float = Field(
        0.75, description="share of the steps that is run on the picture, at least one of them"
    )
    image_cfg_scale: float | None = Field(
        None, description="how near to the picture, of models that edit; others pass over it", allow_inf_nan=False
    )
    inpainting_mask_invert: int = Field(0, ge=0, le=1, description="1: black is redrawn")
    resize_mode: int = Field(0, ge=0, le=3, description="0 and 1: crop to the size; others are refused")
    include_init_images: bool = False


class Drawn(BaseModel):
    """The answer of txt2img and img2img. info: JSON as text."""

    images: list[str] = Field(description="PNG in base64")
    parameters: dict[str, Any]
    info: str


class ExtraOptions(SdapiRequest):
    """A picture or several made larger, without words."""

    resize_mode: int = Field(0, ge=0, le=1, description="0: by upscaling_resize; 1: to upscaling_resize_w and _h")
    upscaling_resize: float = Field(2.0, gt=0, le=4, description="how many times as wide and high")
    upscaling_resize_w: int = Field(512, ge=1, le=MAX_SIDE_PX, description="px")
    upscaling_resize_h: int = Field(512, ge=1, le=MAX_SIDE_PX, description="px")
    upscaling_crop: bool = Field(True, description="with resize_mode 1, cut what does not fit")
    upscaler_1: str = Field(NO_UPSCALER, description="a name of /sdapi/v1/upscalers; None leaves the picture as it is")
    upscaler_2: str = NO_UPSCALER
    extras_upscaler_2_visibility: float = 0.0
    gfpgan_visibility: float = 0.0
    codeformer_visibility: float = 0.0


class ExtraSingleImage(ExtraOptions):
    image: str = Field(description="a picture in base64, plain or as a data: URL")


class NamedPicture(BaseModel):
    data: str = Field(description="a picture in base64, plain or as a data: URL")
    name: str = ""


class ExtraBatchImages(ExtraOptions):
    imageList: list[NamedPicture] = Field(min_length=1, max_length=MAX_PICTURES)  # noqa: N815 - the API's own name


class ExtraImage(BaseModel):
    html_info: str
    image: str = Field(description="PNG in base64")


class ExtraImages(BaseModel):
    html_info: str
    images: list[str] = Field(description="PNG in base64")


class PngInfo(BaseModel):
    image: str = Field(description="a picture in base64, plain or as a data: URL")


class PngInfoFound(BaseModel):
    info: str = Field(description="`parameters` of a PNG, UserComment of a JPEG, WebP or AVIF; else empty")
    items: dict[str, str] = Field(description="all texts of a PNG, by their keywords")
    parameters: dict[str, str] = Field(description="`info`, read")


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


class SdScheduler(BaseModel):
    name: str
    label: str
    aliases: list[str] | None = None
    default_rho: float | None = None
    need_inner_model: bool = False


class SdUpscaler(BaseModel):
    name: str
    model_name: str | None = None
    model_path: str | None = None
    model_url: str | None = None
    scale: float


class NamedItem(BaseModel):
    """An item of a list that is empty here: no model of this server has such parts."""

    name: str


class SdLora(BaseModel):
    name: str
    alias: str
    path: str = Field(description="empty: where files lie is the server's own affair")
    metadata: dict[str, str]


class SdScripts(BaseModel):
    txt2img: list[str]
    img2img: list[str]


class SdEmbeddings(BaseModel):
    loaded: dict[str, NamedItem]
    skipped: dict[str, NamedItem]


class SdMemory(BaseModel):
    ram: dict[str, float | str] = Field(description="free, used and total bytes, or an error")
    cuda: dict[str, str] = Field(description="an error: the process that answers has no device")


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
