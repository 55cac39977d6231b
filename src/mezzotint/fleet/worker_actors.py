"""The worker actors in the cluster: made, asked, drained and killed by name. Every call may block for seconds."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import ActorUnavailableError, RayActorError, RayError

from mezzotint import __version__
from mezzotint.config import Settings
from mezzotint.domain.fleet.fleet_worker import FleetWorker, FleetWorkerId
from mezzotint.domain.fleet.pool import Fleet, Pool
from mezzotint.domain.fleet.rollout import Release
from mezzotint.fleet.programs import FleetProgram
from mezzotint.fleet.worker_actor import WorkerActor
from mezzotint.policy.fleet.cluster_checks import find_resources
from mezzotint.policy.fleet.placement import has_mixed_devices
from mezzotint.policy.fleet.reconcile import Observation, WorkerGone, WorkerSilent
from mezzotint.policy.fleet.validation import read_document

ANSWER_S = 2.0
"""The time that a round waits for the answers of all workers together."""


@dataclass(slots=True)
class WorkerActors:
    namespace: str
    program: FleetProgram
    _handles: dict[FleetWorkerId, Any] = field(default_factory=dict)
    _asked: dict[FleetWorkerId, Any] = field(default_factory=dict)

    def create(self, worker: FleetWorker, pool: Pool, release: Release) -> None:
        """Make the worker's actor, or take over the one of its name. Ray places it when a node has room.

        pool: as the release has it. The label of a release in the environment keeps Ray from giving the worker a
        process that has imported an earlier version of the code.
        """
        resources = find_resources(pool)
        program = replace(self.program, settings=change_settings(self.program.settings, release))
        options = {
            "name": worker.id,
            "namespace": self.namespace,
            "lifetime": "detached",
            "get_if_exists": True,
            "max_restarts": 0,
            "num_cpus": resources.pop("CPU"),
            "num_gpus": resources.pop("GPU", 0.0),
            "resources": resources,
        }
        if release.version != __version__:
            options["runtime_env"] = {"env_vars": {"MEZZOTINT_RELEASE": release.version}}
        self._handles[worker.id] = ray.remote(WorkerActor).options(**options).remote(program, pool)

    def observe(self, ids: Iterable[FleetWorkerId]) -> dict[FleetWorkerId, Observation]:
        """Ask each worker how it is. A question that is still open is not asked again."""
        seen: dict[FleetWorkerId, Observation] = {}
        for id in ids:
            try:
                if id not in self._asked:
                    self._asked[id] = self._handle(id).report.remote()
            except ValueError:  # no actor has this name
                seen[id] = WorkerGone(reason="its actor is gone")
        asked = {id: self._asked[id] for id in ids if id not in seen}
        ready, _ = ray.wait(list(asked.values()), num_returns=len(asked), timeout=ANSWER_S) if asked else ([], [])
        answered = set(ready)
        return seen | {id: self._read(id) if ref in answered else WorkerSilent() for id, ref in asked.items()}

    def drain(self, id: FleetWorkerId) -> None:
        """Tell a worker to end; nothing is done where it is gone."""
        try:
            self._handle(id).drain.remote()
        except ValueError:
            return

    def kill(self, id: FleetWorkerId) -> None:
        """End its process at once, if there is one."""
        try:
            ray.kill(self._handle(id), no_restart=True)
        except ValueError:
            return
        finally:
            self._handles.pop(id, None)
            self._asked.pop(id, None)

    def _handle(self, id: FleetWorkerId) -> Any:
        """Raises: ValueError: there is no such actor."""
        if id not in self._handles:
            self._handles[id] = ray.get_actor(id, namespace=self.namespace)
        return self._handles[id]

    def _read(self, id: FleetWorkerId) -> Observation:
        try:
            return ray.get(self._asked.pop(id))  # type: ignore[no-any-return]
        except ActorUnavailableError:
            return WorkerSilent()
        except RayActorError as error:
            self._handles.pop(id, None)
            return WorkerGone(reason=f"its process ended: {summarize(error)}")
        except RayError as error:
            return WorkerGone(reason=summarize(error))


def change_settings(settings: Settings, release: Release) -> Settings:
    """The settings of the service as the release has them. Where the fleet has devices of several kinds, workers leave
    heavy jobs to fast ones."""
    changes: dict[str, Any] = dict(release.changes)
    if "models" in changes:
        changes["models"] = Path(changes["models"])
    fleet = read_document(release.document)
    is_mixed = isinstance(fleet, Fleet) and has_mixed_devices(fleet)
    changes |= {"release": release.version, "light_first": settings.light_first or is_mixed}
    return settings.model_copy(update=changes)


def summarize(error: BaseException) -> str:
    """Ray's many lines about a failure, as one."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    causes = [line for line in lines if line.startswith("The actor ")] or lines[-1:]
    return (causes[0] if causes else type(error).__name__)[:300]
