"""The API of AUTOMATIC1111's web UI, for clients that were written for it."""

from mezzotint.gateway.automatic1111 import extras, img2img, listings, options, png_info, progress, txt2img

ROUTERS = (
    txt2img.router,
    img2img.router,
    extras.router,
    png_info.router,
    options.router,
    listings.router,
    progress.router,
)
