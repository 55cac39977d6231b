"""Upscaling: the shipped network, foreign weights by path, and tiles that leave no seam."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from safetensors.torch import save_file

from mezzotint.config import Settings
from mezzotint.domain.errors import ModelCorrupt, ModelMissing, OutOfMemory
from mezzotint.engine import upscaler as module
from mezzotint.engine.errors import RunCancelled
from mezzotint.engine.upscaler import TILE_PX, Upscaler
from mezzotint.engine.upscaler_nets import RRDB, Compact
from mezzotint.main.served_models import find_upscaler


@pytest.fixture(scope="module")
def shipped() -> Upscaler:
    path = find_upscaler(Settings())
    assert path is not None
    return Upscaler.load(path, "cpu")


def enlarged(upscaler: Upscaler, picture: Image.Image, scale: int) -> Image.Image:
    run = upscaler.begin(picture, scale)
    while not run.done:
        run.turn()
    assert run.error is None
    assert run.output is not None
    assert run.steps == run.num_steps
    return run.output


def saved(network: torch.nn.Module, path: Path) -> Path:
    save_file(network.state_dict(), path)
    return path


def flat_art(side_px: int) -> Image.Image:
    """A face in the manner of the art, drawn large and shrunk: soft edges, no jags."""
    large = Image.new("RGB", (1024, 1024), "white")
    draw = ImageDraw.Draw(large)
    draw.ellipse((96, 96, 928, 928), fill=(255, 190, 40))
    draw.ellipse((300, 330, 420, 500), fill=(70, 40, 20))
    draw.ellipse((604, 330, 724, 500), fill=(70, 40, 20))
    draw.chord((290, 480, 734, 800), 10, 170, fill=(200, 40, 60))
    return large.resize((side_px, side_px), Image.Resampling.LANCZOS)


def error_of(made: Image.Image, wanted: Image.Image) -> float:
    return float(np.square(np.asarray(made, float) - np.asarray(wanted, float)).mean())


def test_the_shipped_network_is_nearer_to_the_original_than_bicubic(shipped: Upscaler) -> None:
    small, original = flat_art(64), flat_art(256)
    bicubic = small.resize((256, 256), Image.Resampling.BICUBIC)
    assert error_of(enlarged(shipped, small, 4), original) < error_of(bicubic, original)


@pytest.mark.parametrize("scale", [2, 4])
def test_the_result_has_the_size_that_was_asked_for(shipped: Upscaler, scale: int) -> None:
    assert enlarged(shipped, flat_art(64).crop((0, 0, 50, 30)), scale).size == (50 * scale, 30 * scale)


def test_the_same_picture_gives_the_same_pixels(shipped: Upscaler) -> None:
    assert enlarged(shipped, flat_art(64), 4).tobytes() == enlarged(shipped, flat_art(64), 4).tobytes()


def test_tiles_leave_no_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    network = Compact(4, 1, 2).eval()
    upscaler = Upscaler(network=network, scale=2, reach_px=network.reach_px, device=torch.device("cpu"))
    picture = Image.effect_noise((TILE_PX + 40, TILE_PX + 9), 90).convert("RGB")
    with torch.no_grad():
        pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1).float()[None] / 255
        whole = network(pixels)[0].clamp(0, 1).mul(255).round().permute(1, 2, 0).numpy()
    tiled = np.asarray(enlarged(upscaler, picture, 2)).astype(float)
    assert np.abs(tiled - whole).max() <= 1, "at most a rounding"
    monkeypatch.setattr(module, "TURN_S", 0.0)
    run = upscaler.begin(picture, 2)
    run.turn()
    assert (run.num_steps, run.steps, run.done) == (4, 1, False)


@pytest.mark.parametrize(
    "network",
    [Compact(8, 2, 4), Compact(8, 1, 2), RRDB(8, 4, 1, 4), RRDB(8, 4, 1, 2), RRDB(8, 4, 1, 1)],
    ids=["compact4", "compact2", "esrgan4", "esrgan2", "esrgan1"],
)
def test_weights_tell_their_own_architecture(network: Compact | RRDB, tmp_path: Path) -> None:
    loaded = Upscaler.load(saved(network, tmp_path / "w.safetensors"), "cpu")
    assert type(loaded.network) is type(network)
    assert loaded.scale == network.scale
    picture = torch.rand(1, 3, 12, 8)
    with torch.no_grad():
        made = loaded.network(picture)
        assert made.shape == (1, 3, 12 * network.scale, 8 * network.scale)
        assert torch.equal(made, network.eval()(picture))


def test_a_network_of_two_doubles_twice_for_four(tmp_path: Path) -> None:
    upscaler = Upscaler.load(saved(Compact(4, 1, 2), tmp_path / "w.safetensors"), "cpu")
    assert enlarged(upscaler, flat_art(32), 4).size == (128, 128)


def test_the_pth_of_esrgans_training_is_read_as_tensors_alone(tmp_path: Path) -> None:
    network = Compact(4, 1, 2)
    torch.save({"params_ema": network.state_dict(), "params": {}}, tmp_path / "w.pth")
    assert Upscaler.load(tmp_path / "w.pth", "cpu").scale == 2


class Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("unpickled",)


def test_a_pth_that_would_run_code_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"params": Bomb()}, tmp_path / "w.pth")
    with pytest.raises(ModelCorrupt, match=r"w\.pth"):
        Upscaler.load(tmp_path / "w.pth", "cpu")
    assert "unpickled" not in capsys.readouterr().out


def test_damaged_missing_and_strange_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing):
        Upscaler.load(tmp_path / "none.safetensors", "cpu")
    (tmp_path / "cut.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{")
    with pytest.raises(ModelCorrupt, match="cut"):
        Upscaler.load(tmp_path / "cut.safetensors", "cpu")
    save_file({"linear.weight": torch.zeros(2, 2)}, tmp_path / "strange.safetensors")
    with pytest.raises(ModelCorrupt, match="strange"):
        Upscaler.load(tmp_path / "strange.safetensors", "cpu")


def test_a_cancelled_upscale_ends_at_once(shipped: Upscaler) -> None:
    run = shipped.begin(flat_art(256), 4)
    run.turn()
    run.cancel()
    assert run.done
    assert isinstance(run.error, RunCancelled)
    run.cancel()


def test_the_setting_names_none_or_a_file(tmp_path: Path) -> None:
    assert find_upscaler(Settings(upscaler="none")) is None
    path = saved(Compact(4, 1, 2), tmp_path / "mine.safetensors")
    assert find_upscaler(Settings(upscaler=str(path))) == path
    with pytest.raises(ModelMissing):
        find_upscaler(Settings(upscaler=str(tmp_path / "gone.pth")))


@pytest.mark.parametrize("times", [1, 2])
def test_a_tile_without_memory_is_made_again_once_and_then_its_upscale_fails_alone(
    shipped: Upscaler, times: int
) -> None:
    errors, freed = [MemoryError(), torch.OutOfMemoryError("CUDA out of memory")][:times], []

    def network(seen: torch.Tensor) -> torch.Tensor:
        if errors:
            raise errors.pop()
        made: torch.Tensor = shipped.network(seen)
        return made

    run = replace(shipped, network=network).begin(flat_art(32), 2, lambda: freed.append(1))
    while not run.done:
        run.turn()
    assert len(freed) == times
    if times == 1:
        assert run.output is not None
        assert run.output.tobytes() == enlarged(shipped, flat_art(32), 2).tobytes()
    else:
        assert isinstance(run.error, OutOfMemory)


def test_a_picture_that_host_memory_has_no_room_for_fails_its_upscale_alone(
    shipped: Upscaler, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_out(*shape: int) -> torch.Tensor:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 3 bytes")

    monkeypatch.setattr(torch, "empty", run_out)
    run = shipped.begin(flat_art(32), 2)
    run.turn()
    assert isinstance(run.error, OutOfMemory)
    assert str(run.error).endswith("enlarged to 64 x 64 pixels.")


@pytest.mark.parametrize(("device", "num_tiles"), [("cpu", 40), ("meta", 3)])
def test_tiles_are_larger_on_a_device_that_small_ones_leave_idle(
    shipped: Upscaler, device: str, num_tiles: int
) -> None:
    quick = replace(
        shipped,
        network=lambda seen: torch.zeros(1, 3, 4 * seen.shape[2], 4 * seen.shape[3]),
        device=torch.device(device),
    )
    assert enlarged(quick, Image.new("RGB", (1280, 512)), 4).size == (5120, 2048)
    run = quick.begin(Image.new("RGB", (1280, 512)), 4)
    run.turn()
    assert run.num_steps == num_tiles


def test_a_turn_makes_tiles_for_a_time_and_at_least_one(shipped: Upscaler, monkeypatch: pytest.MonkeyPatch) -> None:
    quick = replace(shipped, network=lambda seen: torch.zeros(1, 3, 4 * seen.shape[2], 4 * seen.shape[3]))
    picture = Image.new("RGB", (4 * TILE_PX, TILE_PX))
    for turn_s, expected in ((0.0, 1), (1e9, 4)):
        monkeypatch.setattr(module, "TURN_S", turn_s)
        run = quick.begin(picture, 4)
        run.turn()
        assert run.steps == expected
