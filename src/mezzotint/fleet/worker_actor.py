"""The actor that owns one device. It runs the code of `mezzotint worker` in a thread, and answers beside it."""

import threading
from dataclasses import replace

import ray

from mezzotint.domain.fleet.pool import Pool
from mezzotint.fleet.programs import FleetProgram
from mezzotint.fleet.worker_control import WorkerControl
from mezzotint.policy.fleet.reconcile import ActorReport


class WorkerActor:
    """A worker of one device. It is never restarted by Ray: the controller starts another, where one is wanted."""

    def __init__(self, program: FleetProgram, pool: Pool) -> None:
        self._control = WorkerControl()
        self._settings = program.configure(program.settings, pool)
        self._run_worker = program.run
        gpus = ray.get_runtime_context().get_accelerator_ids().get("GPU", [])
        self._device = f"GPU {', '.join(gpus)}" if gpus else "CPU"
        self._node = ray.util.get_node_ip_address()
        threading.Thread(target=self._run, name="worker", daemon=True).start()

    def report(self) -> ActorReport:
        return replace(self._control.report(), device=self._device, node=self._node)

    def drain(self) -> None:
        """Stop it as SIGTERM would; it says that it has ended when it has. A second call changes nothing."""
        self._control.stop()

    def _run(self) -> None:
        error: BaseException | None = None
        try:
            self._run_worker(self._settings, self._control)
        except BaseException as caught:  # noqa: BLE001 - also SystemExit: whatever it was, it is reported
            error = caught
        self._control.end(error)
