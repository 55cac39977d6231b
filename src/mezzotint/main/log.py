"""Configure the log: its lines go to standard error, as text or JSON."""

import logging
import sys
from typing import Any

import structlog

from mezzotint.config import Settings


def configure_log(settings: Settings) -> None:
    """Log lines go to standard error; standard output is for what a person asked for."""
    # structlog's own choice, rich's traceback, prints local variables: prompts and tokens
    plain = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    renderer = structlog.processors.JSONRenderer() if settings.log_json else plain
    stamp: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    show: list[Any] = [*([structlog.processors.format_exc_info] if settings.log_json else []), renderer]
    structlog.configure(processors=[*stamp, *show], logger_factory=lambda *_: structlog.PrintLogger(sys.stderr))
    libraries = logging.StreamHandler(sys.stderr)  # their lines look like ours
    remove_meta = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    named = structlog.stdlib.add_logger_name
    libraries.setFormatter(
        structlog.stdlib.ProcessorFormatter(processors=[remove_meta, *show], foreign_pre_chain=[*stamp, named])
    )
    logging.basicConfig(level=logging.WARNING, handlers=[libraries])
