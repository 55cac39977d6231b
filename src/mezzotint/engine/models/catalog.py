"""The models that a server offers, as its operator lists them in a TOML file; docs/reference/models.md is made from
this form.
"""

import tomllib
from collections import Counter
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from mezzotint.domain.drawing.named_weights import EMBEDDING_TOKEN
from mezzotint.domain.errors import SettingInvalid
from mezzotint.domain.model import ForecastPolicy, Speed
from mezzotint.domain.style import MAX_STYLE_WEIGHT, STYLE_NAME
from mezzotint.domain.tier import Tier

MAX_EMBEDDINGS = 100
NAME = r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,99}$"
"""Names that can stand in an address and in a request."""


class ModelsInvalid(SettingInvalid):
    """The list of models cannot be used."""

    hint = "See docs/reference/models.md for the form of the file."


class Dtype(StrEnum):
    AUTO = "auto"
    FLOAT32 = "float32"
    FLOAT16 = "float16"
    BFLOAT16 = "bfloat16"


class Offload(StrEnum):
    NONE = "none"
    MODEL = "model"
    SEQUENTIAL = "sequential"


class _CatalogTable(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Quantization(_CatalogTable):
    """Arguments of diffusers' `PipelineQuantizationConfig`."""

    backend: str = Field(description="such as `bitsandbytes_4bit`, `quanto`, `torchao`; its package must be installed")
    options: dict[str, Any] = Field(min_length=1, description="the backend's own arguments")
    components: tuple[str, ...] = Field(
        default=(), description="parts to quantise, such as `transformer`; default: all"
    )


class ForecastEntry(_CatalogTable):
    """The bounds within which steps of the model may be foretold, and for whom."""

    balanced: float | None = Field(default=None, gt=0, le=2, description="bound at the speed `balanced`")
    fast: float | None = Field(default=None, gt=0, le=2, description="bound at the speed `fast`")
    default: dict[Tier, Speed] = Field(
        default_factory=dict, description="speed of a tier's requests that name none; default: `exact`"
    )
    allowed: dict[Tier, tuple[Speed, ...]] = Field(
        default_factory=dict, description="speeds that a tier may ask for; default: all that the model can do"
    )

    @model_validator(mode="after")
    def _check_defaults(self) -> Self:
        for tier, speeds in self.allowed.items():
            if not speeds:
                raise ValueError(f"allowed.{tier} names no speed")
        for tier, speed in self.default.items():
            if speed not in self.allowed.get(tier, tuple(Speed)):
                raise ValueError(f"default.{tier} is {speed}, which allowed.{tier} does not have")
        return self

    def policy(self, found: ForecastPolicy) -> ForecastPolicy:
        """The entry's bounds and tiers. found: the bounds where it names none."""
        named = {Speed.BALANCED: self.balanced, Speed.FAST: self.fast}
        bounds = {speed: bound for speed, bound in named.items() if bound is not None}
        return ForecastPolicy(bounds=bounds or found.bounds, defaults=self.default, allowed=self.allowed)


class ModelEntry(_CatalogTable):
    """A model of the list."""

    name: str = Field(pattern=NAME, description="what requests call it; unlike all others")
    aliases: tuple[Annotated[str, Field(pattern=NAME)], ...] = Field(
        default=(), description="further names, such as `gpt-image-1`, for clients that fix one"
    )
    source: str = Field(description="`starter`, a diffusers folder, a `.safetensors` file, or a hub id")
    like: str | None = Field(
        default=None,
        description="of a file: the diffusers folder, or hub id in the hub's cache, that has its configuration and "
        "tokenizers; default: the package's for Stable Diffusion 1 and XL",
    )
    revision: str | None = Field(default=None, description="revision of a hub id; pin it in production")
    dtype: Dtype = Field(
        default=Dtype.AUTO, description="`auto` (as the setting `dtype` says), `float32`, `float16`, `bfloat16`"
    )
    compile: bool | None = Field(
        default=None,
        description="whether `torch.compile` makes its denoisers faster; fast mode only; default: as the setting "
        "`compile` says",
    )
    channels_last: bool | None = Field(
        default=None,
        description="whether its convolutions compute in that memory order; default: as the model's card says, else "
        "for UNets on a GPU in fast mode",
    )
    quantization: Quantization | None = Field(
        default=None, description="a table `backend`, `options`, `components`, for diffusers' quantisation; CUDA only"
    )
    offload: Offload = Field(
        default=Offload.NONE,
        description="`none`, `model` or `sequential`: what diffusers keeps in main memory; CUDA only",
    )
    preview: str | None = Field(
        default=None, description="a tiny autoencoder for previews, such as `madebyollin/taesd`: a folder or a hub id"
    )
    sampler: str | None = Field(
        default=None,
        description="the sampler, with its schedule, of requests that name none: one that the model takes, such as "
        "`DPM++ 2M Karras`; default: the model's own",
    )
    vae: str | None = Field(
        default=None,
        description="an autoencoder in place of its own: a folder in diffusers' layout, or a `.safetensors` file",
    )
    eta: float = Field(
        default=0.0, ge=0, le=1, description="`eta` of requests that name none, where their sampler heeds it"
    )
    guidance_rescale: float = Field(
        default=0.0, ge=0, le=1, description="`guidance_rescale` of requests that name none, where their task heeds it"
    )
    clip_skip: int | None = Field(
        default=None,
        ge=1,
        description="`clip_skip` of requests that name none; default: the usual layer",
    )
    forecast: ForecastEntry | None = Field(
        default=None,
        description="a table `balanced`, `fast`, `default`, `allowed`: the bounds of foretold steps by speed, and what "
        "each tier gets and may ask for; default: the bounds that `mezzotint models check` found, else the card's",
    )
    warm: bool = Field(
        default=False, description="whether it is loaded at the start and stays; else when a job asks for it"
    )


class StyleEntry(_CatalogTable):
    """A style (LoRA) of the list."""

    name: str = Field(pattern=f"^{STYLE_NAME}$", description="what requests call it; unlike all other styles")
    source: str = Field(
        description="`woodcut` (it ships with the starter), a `.safetensors` file, or a hub id: `owner/name` or "
        "`owner/name/FILE.safetensors`"
    )
    revision: str | None = Field(default=None, description="revision of a hub id; pin it in production")
    models: tuple[str, ...] | None = Field(
        default=None, min_length=1, description="names of the models that it fits; default: all of the file"
    )
    default_weight: float = Field(
        default=1.0, ge=-MAX_STYLE_WEIGHT, le=MAX_STYLE_WEIGHT, description="weight where a request names none"
    )
    trigger_words: tuple[Annotated[str, Field(min_length=1, max_length=100)], ...] = Field(
        default=(), max_length=10, description="words that its training captions had; `GET /v1/styles` tells them"
    )
    adds_trigger_words: bool = Field(
        default=False, description="whether they are added to the end of prompts that name the style and lack them"
    )
    tiers: tuple[Tier, ...] = Field(
        default=tuple(Tier), min_length=1, description="`free`, `paid`, `pro`: those that may ask for it; default: all"
    )
    about: str = Field(default="", max_length=500, description="what it does, for people")
    license: str = Field(default="see its own page", max_length=200, description="its licence, for people")


class EmbeddingEntry(_CatalogTable):
    """An embedding (textual inversion) of the list."""

    token: str = Field(pattern=f"^{EMBEDDING_TOKEN}$", description="the word that calls it in prompts, in any case")
    source: str = Field(description="a `.safetensors` file of diffusers, AUTOMATIC1111 or kohya")
    models: tuple[str, ...] | None = Field(
        default=None, min_length=1, description="names of the models that it fits; default: all of the file"
    )


class _Catalog(_CatalogTable):
    models: tuple[ModelEntry, ...] = Field(min_length=1)
    styles: tuple[StyleEntry, ...] = ()
    embeddings: tuple[EmbeddingEntry, ...] = Field(default=(), max_length=MAX_EMBEDDINGS)


def read_catalog(path: Path) -> tuple[ModelEntry, ...]:
    """The models of a file, in its order: the first is the default. Raises: ModelsInvalid, naming what is wrong."""
    listed = _read_file(path).models
    name, times = Counter(name for entry in listed for name in (entry.name, *entry.aliases)).most_common(1)[0]
    if times > 1:
        raise ModelsInvalid(f"models: {path} lists {name!r} {times} times")
    return listed


def read_styles(path: Path) -> tuple[StyleEntry, ...]:
    """The styles of a file. Raises: ModelsInvalid, naming what is wrong."""
    found = _read_file(path)
    for name, times in Counter(entry.name for entry in found.styles).most_common(1):
        if times > 1:
            raise ModelsInvalid(f"models: {path} lists the style {name!r} {times} times")
    known = {model.name for model in found.models}
    for entry in found.styles:
        if strange := sorted(set(entry.models or ()) - known):
            raise ModelsInvalid(f"models: {path}: the style {entry.name!r} names an unknown model {strange[0]!r}")
    return found.styles


def read_embeddings(path: Path) -> tuple[EmbeddingEntry, ...]:
    """The embeddings of a file. Raises: ModelsInvalid, naming what is wrong."""
    found = _read_file(path)
    for token, times in Counter(entry.token.lower() for entry in found.embeddings).most_common(1):
        if times > 1:
            raise ModelsInvalid(f"models: {path} lists the embedding {token!r} {times} times")
    known = {model.name for model in found.models}
    for entry in found.embeddings:
        if strange := sorted(set(entry.models or ()) - known):
            raise ModelsInvalid(f"models: {path}: the embedding {entry.token!r} names an unknown model {strange[0]!r}")
    return found.embeddings


def _read_file(path: Path) -> _Catalog:
    try:
        return _Catalog.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ModelsInvalid(f"models: {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ModelsInvalid(f"models: {path} is not UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise ModelsInvalid(f"models: {path} is not TOML: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part + 1 if isinstance(part, int) else part) for part in first["loc"])
        raise ModelsInvalid(f"models: {path}, {place}: {first['msg']}") from error
