"""The files in deploy/, read as the programs read them that they are for."""

import re
import runpy
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

from mezzotint.config import Settings
from mezzotint.main.commands import app

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
LEFT_OUT_OF_GATEWAY = frozenset(
    name.replace("-", "_") for name in runpy.run_path(str(DEPLOY / "docker" / "lock_gateway.py"))["LEFT_OUT"]
)
"""Modules that the container of a gateway does not have."""


def parse_command(words: list[str]) -> dict[str, Any]:
    """The values of the flags of a command line, without `mezzotint`. Raises what the parser raises."""
    command = typer.main.get_command(app)
    while isinstance(command, TyperGroup):
        parent = command.make_context("mezzotint", [], resilient_parsing=True)
        _, found, words = command.resolve_command(parent, words)
        assert found is not None, words
        command = found
    return command.make_context("mezzotint", words).params


def list_unknown_settings(text: str) -> set[str]:
    """The variables of a file that look like settings and are none."""
    known = {f"MEZZOTINT_{name.upper()}" for name in Settings.model_fields}
    return set(re.findall(r"MEZZOTINT_[A-Z0-9_]+", text)) - known - {"MEZZOTINT_"}


def read_as_settings(variables: dict[str, Any]) -> Settings:
    """The settings that a process has with these variables alone. Raises: ValidationError."""
    prefix = "MEZZOTINT_"
    own = {name.removeprefix(prefix): str(value) for name, value in variables.items() if name.startswith(prefix)}
    return Settings(**{name.lower(): value for name, value in own.items()})
