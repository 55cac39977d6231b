"""Read a fleet's file, with the settings of its workers and the models that they draw."""

import tomllib
from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from mezzotint.config import read_settings
from mezzotint.domain.errors import SettingInvalid
from mezzotint.domain.fleet.pool import Fleet, FleetProblem, Pool
from mezzotint.engine.models.catalog import Offload
from mezzotint.main.served_models import ServedModel
from mezzotint.policy.fleet.validation import check_models, read_document

MAX_FILE_BYTES = 256 * 1024
WORKER_SETTINGS = (
    "checkpoint_every",
    "compile",
    "dtype",
    "exact",
    "lease_s",
    "light_first",
    "log_json",
    "max_attempts",
    "model_memory_mb",
    "run_memory_mb",
    "shutdown_s",
    "style_memory_mb",
    "threads",
)
"""Settings that workers of a pool may have for themselves. Stores, models and filters are the whole service's."""


class FleetInvalid(SettingInvalid):
    """The fleet's file cannot be used, or not on this cluster."""

    hint = "See docs/reference/fleet.md for the form of the file; `mezzotint fleet check FILE` looks again."

    @classmethod
    def of(cls, path: Path, problems: Sequence[FleetProblem]) -> "FleetInvalid":
        """Make an error with one line a problem. `fleet up` tells in the same way what only a live cluster shows."""
        return cls("\n  ".join(f"{path}: {problem.sentence}" for problem in problems))


def read_fleet(path: Path, find_offers: Callable[[], Iterable[ServedModel]]) -> Fleet:
    """The fleet of a file, checked against the models that are served; those are looked for when its form is right.

    Raises: FleetInvalid, naming all faults, and whatever `find_offers` does.
    """
    found = read_document(parse_fleet_file(path))
    if not isinstance(found, Fleet):
        raise FleetInvalid.of(path, found)
    if problems := [problem for pool in found.pools for problem in check_settings(pool)]:
        raise FleetInvalid.of(path, problems)
    if misfits := check_models(found, {offer.info.name: find_weight(offer) for offer in find_offers()}):
        raise FleetInvalid.of(path, misfits)
    return found


def find_weight(offer: ServedModel) -> int | None:
    """Bytes of a model's weights on its device; None where they are not those of its files."""
    entry = offer.entry
    changes = entry.quantization is not None or entry.offload is not Offload.NONE
    return None if changes else offer.num_bytes


def check_settings(pool: Pool) -> list[FleetProblem]:
    """Faults of the settings of a pool's workers."""
    problems = []
    for name, value in pool.settings.items():
        key = f"settings.{name}"
        if name not in WORKER_SETTINGS:
            near = get_close_matches(name, WORKER_SETTINGS, 1)
            fix = f"did you mean {near[0]!r}?" if near else f"a pool may set {', '.join(WORKER_SETTINGS)}"
            own = "a key of the pool itself" if name == "max_runs" else "no setting that a pool's workers have"
            problems.append(FleetProblem(pool=pool.name, key=key, message=f"is {own}", fix=fix))
            continue
        try:
            read_settings(**{name: value})
        except SettingInvalid as error:
            message = str(error).removeprefix(f"{name}: ")
            fix = "docs/reference/settings.md says what it takes"
            problems.append(FleetProblem(pool=pool.name, key=key, message=message, fix=fix))
    return problems


def parse_fleet_file(path: Path) -> dict[str, Any]:
    """The file's tables as they stand there. Raises: FleetInvalid."""
    try:
        with path.open("rb") as file:
            text = file.read(MAX_FILE_BYTES + 1)
        if len(text) > MAX_FILE_BYTES:
            raise FleetInvalid(f"{path}: the file is longer than {MAX_FILE_BYTES >> 10} KiB; a fleet needs far less")
        return tomllib.loads(text.decode())
    except OSError as error:
        raise FleetInvalid(f"{path}: the file cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise FleetInvalid(f"{path}: the file is not UTF-8") from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise FleetInvalid(f"{path}: the file is not TOML: {error}") from error
