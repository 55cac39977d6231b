"""A Ray cluster of several nodes, all on 127.0.0.1: `python -m tests.ray_cluster 2` prints its address.

Each node has one CPU, or as many as a second number says, and so many workers. The cluster ends when its standard input
does. A line `remove N` there ends the processes of a node, as a power cut would: 0 is the first one after the head.
"""

import sys
from contextlib import suppress

import psutil

from mezzotint.environment import set_ray_environment
from tests.servers import free_port

AGENTS = ("metrics_agent_port", "metrics_export_port", "runtime_env_agent_port", "dashboard_agent_listen_port")


def small_node(num_cpus: int = 1) -> dict[str, int]:
    """With ports that are given a node does not wait for its agents to find some: it ends where they need over 15 s."""
    return {"num_cpus": num_cpus, "object_store_memory": 80_000_000, **{name: free_port() for name in AGENTS}}


def find_processes(cluster: int, kind: str) -> list[psutil.Process]:
    """The living processes of the cluster that a process runs, whose command names such an actor."""
    found = []
    for one in psutil.Process(cluster).children(recursive=True):
        with suppress(psutil.Error):  # it ended meanwhile, or nobody has asked yet how it ended
            if kind in " ".join(one.cmdline()):
                found.append(one)
    return found


def main(num_nodes: int, num_cpus: int = 1) -> None:
    set_ray_environment(is_loopback=True)
    from ray.cluster_utils import Cluster

    head = {"include_dashboard": False, "include_log_monitor": False, **small_node(num_cpus)}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        nodes = [cluster.add_node(**small_node(num_cpus)) for _ in range(num_nodes - 1)]
        print(f"cluster {cluster.address}", flush=True)  # noqa: T201
        for line in sys.stdin:
            cluster.remove_node(nodes[int(line.split()[1])], allow_graceful=False)
            print("removed", flush=True)  # noqa: T201
    finally:
        cluster.shutdown()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
