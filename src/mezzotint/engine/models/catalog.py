"""The models that a server offers, as its operator lists them in a TOML file; docs/reference/models.md is made from
this form.
"""

import tomllib
from collections import Counter
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mezzotint.domain.errors import SettingInvalid

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
    warm: bool = Field(
        default=False, description="whether it is loaded at the start and stays; else when a job asks for it"
    )


class _Catalog(_CatalogTable):
    models: tuple[ModelEntry, ...] = Field(min_length=1)


def read_catalog(path: Path) -> tuple[ModelEntry, ...]:
    """The models of a file, in its order: the first is the default. Raises: ModelsInvalid, naming what is wrong."""
    try:
        listed = _Catalog.model_validate(tomllib.loads(path.read_text(encoding="utf-8"))).models
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
    name, times = Counter(name for entry in listed for name in (entry.name, *entry.aliases)).most_common(1)[0]
    if times > 1:
        raise ModelsInvalid(f"models: {path} lists {name!r} {times} times")
    return listed
