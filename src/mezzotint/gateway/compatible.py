"""The APIs of other services that are spoken here, for clients that exist already."""

from mezzotint.gateway import openai_images, openai_models

ROUTERS = (openai_images.router, openai_models.router)
