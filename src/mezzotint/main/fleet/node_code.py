"""The code that the fleet's actors and probes run on the nodes of a cluster."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from mezzotint.config import Settings
from mezzotint.domain.errors import MezzotintError
from mezzotint.domain.fleet.accelerators import CPU
from mezzotint.domain.fleet.pool import Pool
from mezzotint.environment import set_device_environment, wait_passively
from mezzotint.fleet.worker_control import WorkerControl

CHECK_S = 20.0
"""Longest wait for a store that a node cannot reach."""


def configure_worker(settings: Settings, pool: Pool) -> Settings:
    """The settings of a pool's workers: the service's own, with the pool's."""
    changes: dict[str, Any] = dict(pool.settings)
    changes |= {"pool": pool.name, "region": pool.region, "claim_models": ",".join(pool.models)}
    changes |= {"claim_lanes": ",".join(pool.lanes), "claim_tenants": ",".join(pool.tenants)}
    if pool.max_runs is not None:
        changes["max_runs"] = pool.max_runs
    if pool.accelerator == CPU and pool.resource is None:
        changes["device"] = "cpu"
    return settings.model_copy(update=changes)


def run_fleet_worker(settings: Settings, control: WorkerControl) -> None:
    """`mezzotint worker`, in a process that Ray started. Raises: StartError."""
    set_device_environment()
    wait_passively()
    from mezzotint.main.worker import run_worker

    run_worker(settings, control)


def find_node_faults(settings: Settings) -> list[str]:
    """Find what a worker on this machine could not reach or find."""
    from mezzotint.main.served_models import find_models
    from mezzotint.main.stores import check_objects, find_database, open_objects
    from mezzotint.metrics import Metrics

    async def check_all() -> list[str]:
        checks: list[Callable[[], Awaitable[object]]] = [
            lambda: find_database(settings),
            lambda: check_objects(settings, open_objects(settings, Metrics())),
            lambda: asyncio.to_thread(find_models, settings),
        ]
        found = await asyncio.gather(*(name_fault(check) for check in checks))
        return [fault for fault in found if fault is not None]

    return asyncio.run(check_all())


async def name_fault(check: Callable[[], Awaitable[object]]) -> str | None:
    """The fault that a check finds, as a sentence."""
    try:
        async with asyncio.timeout(CHECK_S):
            await check()
    except TimeoutError:
        return f"a store did not answer within {CHECK_S:.0f} s"
    except MezzotintError as error:
        return str(error)
    return None
