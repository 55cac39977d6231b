"""Configure the log: its lines go to standard error, as text or JSON."""

import logging
import sys

import structlog

from mezzotint.config import Settings


def configure_log(settings: Settings) -> None:
    """Log lines go to standard error; standard output is for what a person asked for."""
    # structlog's own choice, rich's traceback, prints local variables: prompts and tokens
    plain = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    renderer = structlog.processors.JSONRenderer() if settings.log_json else plain
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *([structlog.processors.format_exc_info] if settings.log_json else []),
            renderer,
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s [%(levelname)s] %(name)s: %(message)s")
