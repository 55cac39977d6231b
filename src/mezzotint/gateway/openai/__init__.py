"""OpenAI's Images API, for clients that were written for it."""

from mezzotint.gateway.openai import edits, images, models

ROUTERS = (edits.router, images.router, models.router)
