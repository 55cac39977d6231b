"""A Ray cluster of several nodes, all on 127.0.0.1: `python -m tests.ray_cluster 2` prints its address.

Each node has one CPU, so one worker. The cluster ends when its standard input does. A line `remove N` there ends the
processes of a node, as a power cut would: 0 is the first one after the head.
"""

import sys

from mezzotint.config import set_ray_environment

set_ray_environment(is_loopback=True)

from ray.cluster_utils import Cluster  # noqa: E402

SMALL = {"object_store_memory": 80_000_000}


def main(num_nodes: int) -> None:
    head = {"num_cpus": 1, "include_dashboard": False, "include_log_monitor": False, **SMALL}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        nodes = [cluster.add_node(num_cpus=1, **SMALL) for _ in range(num_nodes - 1)]
        print(f"cluster {cluster.address}", flush=True)  # noqa: T201
        for line in sys.stdin:
            cluster.remove_node(nodes[int(line.split()[1])], allow_graceful=False)
            print("removed", flush=True)  # noqa: T201
    finally:
        cluster.shutdown()


if __name__ == "__main__":
    main(int(sys.argv[1]))
