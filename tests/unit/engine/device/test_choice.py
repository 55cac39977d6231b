"""One process on each GPU, none that computes wrongly, and no silent fall to the CPU. GPUs are injected."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from structlog.testing import capture_logs

from mezzotint.domain.errors import DeviceBusy, DeviceMissing
from mezzotint.engine.device import choice
from mezzotint.engine.device.choice import choose_device, has_bfloat16, try_kernels
from mezzotint.environment import set_device_environment


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "list_gpus", lambda: ["GPU-aa", "GPU-bb"])


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize("wanted", ["auto", "cuda"])
def test_processes_take_one_gpu_each_until_there_is_none(tmp_path: Path, wanted: str) -> None:
    assert [choose_device(wanted, tmp_path) for _ in range(2)] == ["cuda:0", "cuda:1"]
    with pytest.raises(DeviceBusy, match="cuda:0, cuda:1"):
        choose_device(wanted, tmp_path)


@pytest.mark.usefixtures("two_gpus")
def test_a_gpu_asked_for_by_number_is_that_one_or_none(tmp_path: Path) -> None:
    assert choose_device("cuda:1", tmp_path) == "cuda:1"
    with pytest.raises(DeviceBusy, match="cuda:1"):
        choose_device("cuda:1", tmp_path)
    with pytest.raises(DeviceMissing, match="there is no cuda:2: PyTorch sees 2"):
        choose_device("cuda:2", tmp_path)


@pytest.mark.usefixtures("two_gpus")
def test_the_lock_is_the_machines_and_ends_with_its_process(tmp_path: Path) -> None:
    hold = f"""
from pathlib import Path
from mezzotint.engine.device import choice
choice.list_gpus = lambda: ["GPU-aa"]
print(choice.choose_device("cuda", Path({str(tmp_path)!r})), flush=True)
input()
"""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", hold], text=True, **pipes) as other:
        assert other.stdout is not None
        assert other.stdout.readline().strip() == "cuda:0"
        with pytest.raises(DeviceBusy):
            choose_device("cuda:0", tmp_path)
        other.communicate("\n", timeout=60)
    assert choose_device("cuda:0", tmp_path) == "cuda:0"


@pytest.mark.usefixtures("two_gpus")
def test_a_link_in_the_place_of_a_lock_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("mine")
    (tmp_path / "mezzotint-GPU-aa.lock").symlink_to(tmp_path / "elsewhere")
    assert choose_device("cuda", tmp_path) == "cuda:1"


def test_a_gpu_that_pytorch_cannot_use_is_told_of(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(choice, "list_gpus", list)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    (tmp_path / "nvidia0").touch()
    monkeypatch.setattr(choice, "DRIVER_NODES", (f"{tmp_path}/nvidia[0-9]*",))
    with capture_logs() as logs:
        assert choose_device("auto") == "cpu"
    assert [line["log_level"] for line in logs] == ["warning"]
    assert "nvidia0 is a GPU" in logs[0]["reason"]
    with pytest.raises(DeviceMissing, match="nvidia0 is a GPU"):
        choose_device("cuda")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert choice.unused_gpu() is None


def test_without_a_gpu_the_cpu_is_no_surprise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "list_gpus", list)
    monkeypatch.setattr(choice, "DRIVER_NODES", ())
    with capture_logs() as logs:
        assert choose_device("auto") == "cpu"
    assert logs == []
    with pytest.raises(DeviceMissing, match="no CUDA device"):
        choose_device("cuda")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_a_device_that_computes_right_passes_the_trial(dtype: torch.dtype) -> None:
    try_kernels("cpu", dtype)


@pytest.mark.parametrize("spoilt", ["wrong", "nan", "raises"])
def test_a_device_that_computes_wrongly_is_found_before_a_job_is_claimed(
    monkeypatch: pytest.MonkeyPatch, spoilt: str
) -> None:
    real = choice.functional.conv2d

    def conv2d(input: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        if input.dtype is torch.float32:  # the host's
            return real(input, weight)
        if spoilt == "raises":
            raise RuntimeError("CUDA error: no kernel image is available for execution on the device\nmore")
        return real(input, weight) * (float("nan") if spoilt == "nan" else 1.5)

    monkeypatch.setattr(choice.functional, "conv2d", conv2d)
    said = "no kernel image is available for execution on the device$" if spoilt == "raises" else "a wrong convolution"
    with pytest.raises(DeviceMissing, match=said):
        try_kernels("cpu", torch.float16)


@pytest.mark.parametrize(("capability", "has"), [((7, 5), False), ((8, 0), True), ((12, 0), True)])
def test_bfloat16_is_for_cards_that_compute_in_it(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], has: bool
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert has_bfloat16("cuda:0") is (has or torch.version.hip is not None)


def test_the_device_environment_is_set_where_nobody_set_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_ALLOC_CONF", "CUBLAS_WORKSPACE_CONFIG"):
        monkeypatch.setenv(name, "x")  # so that it is put back afterwards
        monkeypatch.delenv(name)
    set_device_environment()
    assert os.environ["PYTORCH_ALLOC_CONF"] == "expandable_segments:True"
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    monkeypatch.setenv("PYTORCH_CUDA_ALLOC_CONF", "max_split_size_mb:128")
    monkeypatch.delenv("PYTORCH_ALLOC_CONF")
    set_device_environment()
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":16:8"
    assert "PYTORCH_ALLOC_CONF" not in os.environ
