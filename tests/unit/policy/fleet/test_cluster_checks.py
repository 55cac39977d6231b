"""Faults of a cluster are named before anything is started."""

from dataclasses import replace

import pytest

from mezzotint.domain.fleet.pool import Fleet, Pool
from mezzotint.policy.fleet.cluster_checks import NodeReport, check_cluster, find_resources

GPU = Pool(name="big", accelerator="H100", num_gpus=1.0, min_workers=2, max_workers=4)
NODE = NodeReport(
    node="n1",
    resources={"CPU": 8.0, "GPU": 2.0, "accelerator_type:H100": 1.0},
    asked_at=100,
    clock=101,
    answered_at=102,
)
FINE = replace(NODE, version="1")


def sentences(*nodes: NodeReport, pool: Pool = GPU, is_autoscaled: bool = False) -> list[str]:
    problems = check_cluster(Fleet(pools=(pool,)), nodes, "1", is_autoscaled=is_autoscaled)
    return [problem.sentence for problem in problems]


def test_a_cluster_with_room_and_no_fault_passes() -> None:
    assert sentences(FINE) == []


@pytest.mark.parametrize(
    ("node", "words"),
    [
        (replace(FINE, version="2"), "mezzotint 2, and here is 1"),
        (replace(FINE, clock=98.5), "clock differs by 1.5 s"),
        (replace(FINE, clock=103.5), "clock differs by 1.5 s"),
        (replace(FINE, faults=("the database db:5432/x: refused",)), "db:5432/x"),
        (replace(FINE, error="No module named 'mezzotint'"), "cannot run a worker: No module named 'mezzotint'"),
        (replace(FINE, resources={"CPU": 8.0, "GPU": 1.0, "accelerator_type:H100": 1.0}), "room for 1"),
        (replace(FINE, resources={"CPU": 8.0, "GPU": 8.0, "accelerator_type:L4": 1.0}), "room for 0"),
    ],
)
def test_each_fault_is_named(node: NodeReport, words: str) -> None:
    (sentence,) = sentences(node)
    assert words in sentence


def test_a_clock_is_not_blamed_for_a_slow_answer() -> None:
    assert sentences(replace(FINE, answered_at=160, clock=159)) == []


def test_room_is_not_added_up_over_nodes_that_each_lack_something() -> None:
    half = Pool(name="half", resource="fast", min_workers=1)
    cpu, fast = replace(FINE, resources={"CPU": 4.0}), replace(FINE, resources={"fast": 1.0})
    assert "room for 0" in sentences(cpu, fast, pool=half)[0]


def test_nodes_that_come_by_themselves_need_not_be_there() -> None:
    assert sentences(is_autoscaled=True) == []
    assert len(sentences()) == 2


def test_a_worker_takes_its_device() -> None:
    assert find_resources(GPU) == {"CPU": 1.0, "GPU": 1.0, "accelerator_type:H100": 0.001}
    assert find_resources(Pool(name="x", resource="fast")) == {"CPU": 1.0, "fast": 1.0}
    assert find_resources(Pool(name="x")) == {"CPU": 1.0}
