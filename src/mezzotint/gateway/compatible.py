"""The APIs of other services that are spoken here, for clients that exist already."""

from mezzotint.gateway import (
    openai_edits,
    openai_images,
    openai_models,
    sdapi_draw,
    sdapi_img2img,
    sdapi_options,
    sdapi_progress,
)

MODULES = (openai_edits, openai_images, openai_models, sdapi_draw, sdapi_img2img, sdapi_options, sdapi_progress)
ROUTERS = tuple(module.router for module in MODULES)
