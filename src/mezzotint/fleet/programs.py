"""The code and the settings that the fleet's actors run. `main` gives them: this ring knows no commands."""

from collections.abc import Callable
from dataclasses import dataclass

from mezzotint.config import Settings
from mezzotint.domain.fleet.pool import Pool
from mezzotint.fleet.worker_control import WorkerControl


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetProgram:
    """settings: of the whole service. configure: the settings of a pool's workers. run: `mezzotint worker` with them,
    until its control stops it. The functions are of modules, so that they can be sent by name."""

    settings: Settings
    configure: Callable[[Settings, Pool], Settings]
    run: Callable[[Settings, WorkerControl], None]
