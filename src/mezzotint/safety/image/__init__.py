"""The image filter: score pictures before they leave the server."""
