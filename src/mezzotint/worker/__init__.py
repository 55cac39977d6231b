"""Owns a device: claims jobs, lets the engine draw them, brings the pictures home."""

from mezzotint.worker.cadence import Cadence
from mezzotint.worker.develop import Developer
from mezzotint.worker.device import Device
from mezzotint.worker.drain import Drain
from mezzotint.worker.holding import Habits
from mezzotint.worker.shelf import Loaded, Stock
from mezzotint.worker.uptime import Uptime
from mezzotint.worker.worker import Worker

__all__ = ["Cadence", "Developer", "Device", "Drain", "Habits", "Loaded", "Stock", "Uptime", "Worker"]
