"""The API of AUTOMATIC1111's web UI, for clients that were written for it."""

from mezzotint.gateway.automatic1111 import img2img, options, progress, txt2img

ROUTERS = (txt2img.router, img2img.router, options.router, progress.router)
