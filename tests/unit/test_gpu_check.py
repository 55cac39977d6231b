"""`make gpu-check` at toy size: every check runs on the CPU, and says what stands in for a GPU there."""

import json
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

ROOT = Path(__file__).parents[2]
BENCHMARKS = ROOT / "benchmarks"
PUBLISHED = {"SDXL": 2.57e9, "SD3.5-large": 8.06e9, "FLUX.1-dev": 11.90e9, "Qwen-Image": 20.43e9}
"""Parameters of the public denoisers."""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str]:
    """The document and the table of all checks."""
    out = tmp_path_factory.mktemp("gpu_check") / "found.json"
    command = [sys.executable, str(BENCHMARKS / "gpu_check.py"), "--device", "cpu", "--size", "toy", "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    return json.loads(out.read_text()), done.stdout


def test_all_thirteen_checks_pass_on_a_cpu(report: tuple[dict[str, Any], str]) -> None:
    found, _ = report
    assert (found["passed"], found["of"]) == (13, 13)
    assert [check["number"] for check in found["checks"]] == list(range(1, 14))
    assert all(check["passed"] and not check["failures"] for check in found["checks"])


def test_every_check_says_what_was_expected_found_and_asked_of_a_cpu_instead(
    report: tuple[dict[str, Any], str],
) -> None:
    found, table = report
    for check in found["checks"]:
        assert all(check[key] for key in ("name", "expected", "found", "stands_in")), check
        assert all(check[key] in table for key in ("name", "expected", "found", "stands_in")), check
    assert "13 of 13 checks passed" in table


def test_the_document_says_on_what_it_was_found(report: tuple[dict[str, Any], str]) -> None:
    found, _ = report
    assert (found["device"], found["size"]) == ("cpu", "toy")
    assert found["versions"]["torch"] == torch.__version__
    assert {"device", "cores", "load_average_at_start"} <= set(found["hardware"])
    assert "driver" in found["versions"]
    assert found["versions"]["fingerprint"]["exact"] == "True"


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The modules of the checks, as the script imports them."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from gpu_checks import models
    from gpu_checks import report as reporting

    return models, reporting


def test_the_random_models_are_as_large_as_the_public_ones(modules: Any) -> None:
    models, _ = modules
    sizes = {
        family.name: models.count_bytes(family, family.config(models.Size.FULL), torch.bfloat16) / 2
        for family in models.FAMILIES
    }
    assert sizes == pytest.approx(PUBLISHED, rel=0.01)


def test_a_check_that_fails_or_raises_fails_the_whole(modules: Any, tmp_path: Path) -> None:
    models, reporting = modules

    def raises(setup: Any) -> Any:
        raise ValueError("on purpose")

    made = {
        "sound": lambda setup: reporting.Finding(found="all"),
        "odd": lambda setup: reporting.Finding(found="less", failures=("half is missing",)),
        "raises": raises,
    }
    checks = [
        reporting.Check(number=i, name=name, expected="all", make=make) for i, (name, make) in enumerate(made.items())
    ]
    setup = reporting.Setup(device=torch.device("cpu"), size=models.Size.TOY, folder=tmp_path)
    results = reporting.run_checks(checks, setup, limit_s=60)
    assert [result.passed for result in results] == [True, False, False]
    assert results[2].failures == ("ValueError: on purpose",)
    assert reporting.document(results, setup, 1.0)["passed"] == 1
    late = reporting.run_checks(checks[:1], setup, limit_s=-1)
    assert late[0].failures == ("the -1 s were over",)


def test_without_a_gpu_the_command_says_so_and_ends_with_two(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    check = runpy.run_path(str(BENCHMARKS / "gpu_check.py"))["check"]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert check("cuda:0", None, tmp_path / "none.json") == 2
    assert capsys.readouterr().err
    assert not (tmp_path / "none.json").exists()


def test_the_benchmark_measures_every_way_and_all_draw_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    found = runpy.run_path(str(BENCHMARKS / "gpu.py"))["run"]("cpu", "toy", ["SDXL"], 1)
    measured = found["models"]["SDXL"]["64 px"]
    ways = {"equal": {"one_by_one", "static"}, "mixed": {"one_by_one", "request_batching"}}
    for kind, bases in ways.items():
        assert set(measured[kind]["jobs_per_s"]) == bases | {"hub_fast", "hub_exact"}
        assert all(spread["median"] > 0 for spread in measured[kind]["jobs_per_s"].values())
        assert set(measured[kind]["throughput_over"]["hub_exact"]) == bases
        assert all(apart < 1e-3 for apart in measured[kind]["apart_from_stock"].values())
    assert set(measured["ms_a_job_step"]) == {"pipeline_ms", "hub_fast_ms", "hub_exact_ms"}
    assert found["hardware"]["device"]
    assert (found["dtype"], found["rounds"]) == ("float32", 1)
