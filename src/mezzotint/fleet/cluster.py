"""A Ray cluster: connect to it, probe its nodes, start the controller, end what a fleet left there."""

import logging
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from mezzotint import __version__
from mezzotint.config import Settings
from mezzotint.domain.errors import ClusterUnusable
from mezzotint.fleet.controller import NAME, ControllerActor
from mezzotint.fleet.programs import FleetProgram
from mezzotint.fleet.worker_actors import summarize
from mezzotint.policy.fleet.cluster_checks import NodeReport

REACH_S = 5.0
CONNECT_S = 60.0
PROBE_S = 120.0
"""A probe starts a process of Python on each node."""
CONTROLLER_S = 120.0
POLL_S = 0.1
CLOCK_TRIES = 3


def connect(address: str) -> None:
    """Connect this process to the cluster at HOST:PORT, within a minute. Raises: ClusterUnusable."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or "/" in host:
        raise ClusterUnusable(f"{address!r} is no address of a cluster: use HOST:PORT, as `ray start --head` prints it")
    try:
        socket.create_connection((host, int(port)), REACH_S).close()
    except (OSError, OverflowError) as error:
        raise ClusterUnusable(f"there is no cluster at {address}: {error}") from error
    logging.getLogger("ray").setLevel(logging.ERROR)  # it warns that a thread other than the main one connects
    # Ray lists the command line of whoever connects, also in its dashboard: `--database` has a password in it.
    ray._private.utils.get_entrypoint_name = lambda: "mezzotint fleet"
    failed: list[BaseException] = []

    def work() -> None:
        try:
            ray.init(address=address, log_to_driver=False, configure_logging=False)
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits
            failed.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(CONNECT_S)
    if thread.is_alive():
        raise ClusterUnusable(
            f"{address} did not answer as a Ray cluster within {CONNECT_S:.0f} s; one that wants a token answers where "
            "RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH are set"
        )
    if failed:
        raise ClusterUnusable(f"the cluster at {address}: {describe(failed[0])}") from failed[0]


def describe(error: BaseException) -> str:
    text = " ".join(str(error).split())
    if "Version mismatch" in text:
        return f"{text[:300]}. Every node and this machine need ray {ray.__version__} and the same Python"
    return text[:300] or type(error).__name__


def probe_nodes(settings: Settings, find_faults: Callable[[Settings], Sequence[str]]) -> list[NodeReport]:
    """Let every node try what a worker there will need. find_faults: runs there; a function of a module."""
    nodes = [node for node in ray.nodes() if node["Alive"]]
    probe = ray.remote(probe_node)
    asked = {}
    for node in nodes:
        here = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        ref = probe.options(num_cpus=0, max_retries=0, scheduling_strategy=here).remote(settings, find_faults)
        asked[ref] = (node, time.time())
    reports, open_refs, until = [], list(asked), time.monotonic() + PROBE_S
    while open_refs and (left := until - time.monotonic()) > 0:
        done, open_refs = ray.wait(open_refs, timeout=left)
        reports += [_read_probe(ref, *asked[ref]) for ref in done]
    late = [_report(asked[ref][0], error=f"no answer within {PROBE_S:.0f} s") for ref in open_refs]
    return sorted([*reports, *late], key=lambda report: report.node)


def probe_node(settings: Settings, find_faults: Callable[[Settings], Sequence[str]]) -> tuple[str, list[str], float]:
    """Runs on a node. Returns the version, the faults, and the time there."""
    faults = list(find_faults(settings))
    return __version__, faults, time.time()


def read_clock() -> float:
    """Runs on a node. Returns the time there."""
    return time.time()


def _read_probe(ref: Any, node: dict[str, Any], asked_at: float) -> NodeReport:
    answered_at = time.time()
    try:
        version, faults, clock = ray.get(ref)
        report = _report(node, asked_at=asked_at, answered_at=answered_at, clock=clock, version=version)
        return replace(_ask_for_time(report, node), faults=tuple(faults))
    except RayError as error:
        return _report(node, error=summarize(error))


def _ask_for_time(report: NodeReport, node: dict[str, Any]) -> NodeReport:
    """The report with the answer about the node's clock that took least: the probe's took as long as a process takes to
    start, which hides as much of a difference."""
    here = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
    clock = ray.remote(read_clock).options(num_cpus=0, max_retries=0, scheduling_strategy=here)
    for _ in range(CLOCK_TRIES):
        asked_at = time.time()
        there = ray.get(clock.remote(), timeout=PROBE_S)
        answered_at = time.time()
        if answered_at - asked_at < report.answered_at - report.asked_at:
            report = replace(report, asked_at=asked_at, answered_at=answered_at, clock=there)
    return report


def _report(node: dict[str, Any], **values: Any) -> NodeReport:
    name = f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})"
    return NodeReport(node=name, resources=dict(node["Resources"]), **values)


def start_controller(program: FleetProgram, namespace: str) -> None:
    """Put a new controller in the place of the one before, if there was one. Returns when it has made its first round.

    Raises: ClusterUnusable.
    """
    kill_controller(namespace)
    until = time.monotonic() + CONTROLLER_S
    options = {"name": NAME, "namespace": namespace, "lifetime": "detached", "max_restarts": -1, "num_cpus": 0}
    why = "it waits for a node"
    while time.monotonic() < until:
        try:
            actor = ray.remote(ControllerActor).options(**options).remote(program, namespace)
        except ValueError as error:  # the name of the one before is not free yet
            why = str(error)
            time.sleep(POLL_S)
            continue
        try:
            while time.monotonic() < until:
                if ray.get(actor.epoch.remote(), timeout=max(until - time.monotonic(), POLL_S)) is not None:
                    return
                time.sleep(POLL_S)
        except RayError as error:
            why = summarize(error)
        break
    raise ClusterUnusable(f"the fleet's controller did not start within {CONTROLLER_S:.0f} s: {why}")


def kill_controller(namespace: str) -> None:
    """Do nothing where there is none."""
    try:
        ray.kill(ray.get_actor(NAME, namespace=namespace), no_restart=True)
    except ValueError:
        return


def kill_workers(namespace: str, ids: Sequence[str]) -> None:
    for id in ids:
        try:
            ray.kill(ray.get_actor(id, namespace=namespace), no_restart=True)
        except ValueError:
            continue
