"""OpenAI's Images and Moderations APIs, for clients that were written for it."""

from mezzotint.gateway.openai import edits, images, models, moderations

ROUTERS = (edits.router, images.router, models.router, moderations.router)
