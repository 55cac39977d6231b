"""The JSON of styles: in jobs, and in their list."""

from pydantic import BaseModel, ConfigDict, Field

from mezzotint.domain.style import MAX_STYLE_WEIGHT, MAX_STYLES, WantedStyle
from mezzotint.domain.tier import Tier

STYLES_DESCRIPTION = f"up to {MAX_STYLES} styles of GET /v1/styles that fit the model"


class StyleRequest(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    name: str = Field(max_length=200, description="a name of GET /v1/styles")
    weight: float | None = Field(
        None,
        description="how much of it: 1 as it was trained, below 0 away from it; default: the style's own",
        json_schema_extra={"minimum": -MAX_STYLE_WEIGHT, "maximum": MAX_STYLE_WEIGHT},
    )

    def wanted(self) -> WantedStyle:
        return WantedStyle(name=self.name, weight=self.weight)


class JobStyle(BaseModel):
    name: str
    weight: float
    sha256: str = Field(description="of the style's file")


class JobWeights(BaseModel):
    name: str
    sha256: str = Field(description="of its file, or of a folder's files")


class StyleView(BaseModel):
    name: str = Field(description="what `styles` of a job and `--style` take")
    about: str
    models: list[str] = Field(description="names of the models that it fits")
    default_weight: float
    trigger_words: list[str] = Field(description="words that its training captions had: prompts with them show more")
    adds_trigger_words: bool = Field(description="whether the server adds them to prompts that lack them")
    tiers: list[Tier] = Field(description="those that may ask for it")
    license: str
    sha256: str = Field(description="of its file")


class StyleList(BaseModel):
    styles: list[StyleView]
