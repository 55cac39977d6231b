"""The commands. The wiring behind them is the only place that picks adapters."""

from mezzotint.main.commands import app

__all__ = ["app"]
