"""A worker owns a device: it claims jobs, runs them in the engine and stores their pictures."""

from mezzotint.worker.checkpoints.interval import CheckpointInterval
from mezzotint.worker.checkpoints.uptime import Uptime
from mezzotint.worker.device import DeviceThread
from mezzotint.worker.drain import Drain
from mezzotint.worker.leased_jobs import WorkerSettings
from mezzotint.worker.model_cache import Catalog, LoadedModel
from mezzotint.worker.postprocess import ImageFilter
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
