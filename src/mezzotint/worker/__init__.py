"""Owns a device: claims jobs, lets the engine draw them, brings the pictures home."""

from mezzotint.worker.checkpoint_interval import CheckpointInterval
from mezzotint.worker.device import DeviceThread
from mezzotint.worker.drain import Drain
from mezzotint.worker.leased_jobs import WorkerSettings
from mezzotint.worker.model_cache import Catalog, LoadedModel
from mezzotint.worker.postprocess import ImageFilter
from mezzotint.worker.uptime import Uptime
from mezzotint.worker.worker import Worker

__all__ = [
    "Catalog",
    "CheckpointInterval",
    "DeviceThread",
    "Drain",
    "ImageFilter",
    "LoadedModel",
    "Uptime",
    "Worker",
    "WorkerSettings",
]
