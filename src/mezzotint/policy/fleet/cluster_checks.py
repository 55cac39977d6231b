"""Faults of a cluster that a fleet is to run on, found before anything is started."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from mezzotint.domain.fleet.accelerators import CPU
from mezzotint.domain.fleet.pool import Fleet, FleetProblem, Pool

MAX_CLOCK_S = 1.0
"""The difference that the clocks of two machines may have: leases are renewed and ended by them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeReport:
    """A probe of one node. asked_at, answered_at: by the asker's clock; clock: by the node's, in between; seconds since
    the epoch. version: of mezzotint there. faults: what a worker could not reach or find there, as sentences. error:
    why the probe itself failed."""

    node: str
    resources: Mapping[str, float]
    asked_at: float = 0.0
    answered_at: float = 0.0
    clock: float = 0.0
    version: str = ""
    faults: Sequence[str] = ()
    error: str | None = None


def find_resources(pool: Pool) -> dict[str, float]:
    """The resources of Ray that one worker of a pool takes."""
    resources = {"CPU": 1.0}
    if pool.num_gpus:
        resources["GPU"] = pool.num_gpus
    if pool.resource is not None:
        resources[pool.resource] = 1.0
    elif pool.accelerator != CPU:
        resources[f"accelerator_type:{pool.accelerator}"] = 0.001  # as Ray's own option `accelerator_type` does
    return resources


def check_cluster(
    fleet: Fleet, nodes: Sequence[NodeReport], version: str, *, is_autoscaled: bool
) -> list[FleetProblem]:
    """version: of mezzotint here. is_autoscaled: nodes may come that are not there yet."""
    problems = [problem for node in nodes for problem in _check_node(node, version)]
    if not nodes and not is_autoscaled:
        problems.append(FleetProblem(key="ray", message="the cluster has no nodes", fix="start some"))
    if not is_autoscaled:
        problems += _check_resources(fleet.pools, nodes)
    return problems


def _check_node(node: NodeReport, version: str) -> Iterator[FleetProblem]:
    key = f"node {node.node}"
    if node.error is not None:
        fix = "install the same mezzotint[fleet,postgres] there as here"
        yield FleetProblem(key=key, message=f"cannot run a worker: {node.error}", fix=fix)
        return
    if node.version != version:
        message = f"has mezzotint {node.version}, and here is {version}"
        yield FleetProblem(key=key, message=message, fix="install the same version on every node")
    if (apart := clock_difference(node)) > MAX_CLOCK_S:
        message = f"its clock differs by {apart:.1f} s or more; {MAX_CLOCK_S:.0f} s is allowed"
        yield FleetProblem(key=key, message=message, fix="let NTP or chrony set the clocks of all machines")
    for fault in node.faults:
        yield FleetProblem(key=key, message=fault, fix="check that this machine reaches it, with these credentials")


def clock_difference(node: NodeReport) -> float:
    """Seconds that the node's clock is certainly wrong by; what the way of the question may explain counts for it."""
    return max(node.asked_at - node.clock, node.clock - node.answered_at, 0.0)


def _check_resources(pools: Iterable[Pool], nodes: Sequence[NodeReport]) -> Iterator[FleetProblem]:
    for pool in pools:
        needs = find_resources(pool)  # of a worker, on one node alone
        fitting = sum(
            int(min(node.resources.get(name, 0.0) / amount for name, amount in needs.items())) for node in nodes
        )
        if fitting < max(pool.min_workers, 1):
            wants = ", ".join(f"{amount:g} {name}" for name, amount in needs.items())
            message = (
                f"{pool.min_workers} workers are wanted, and the cluster has room for {fitting} (each takes {wants})"
            )
            fix = "add nodes, correct `accelerator` or `min`, or say --autoscaled where nodes come by themselves"
            yield FleetProblem(pool=pool.name, key="min", message=message, fix=fix)
