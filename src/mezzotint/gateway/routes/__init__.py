"""The routes of the API under /v1, of pictures under /i and of /metrics."""
