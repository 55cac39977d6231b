"""Styles in memory: loaded when a job asks, the least recently used dropped first, never one in use."""

from hashlib import sha256
from pathlib import Path

import pytest
import torch

from mezzotint.domain.errors import StyleUnavailable
from mezzotint.domain.ids import Sha256
from mezzotint.domain.style import StyleChoice
from mezzotint.engine import Hub
from mezzotint.worker.style_cache import StyleCache
from tests.conformance.engine.driving import finish
from tests.conformance.engine.zoo.xl import sdxl, sdxl_request
from tests.styles import make_factors, write_style

NAMES = ("ink", "oil", "chalk")


@pytest.fixture(scope="module")
def hub() -> Hub:
    return Hub(sdxl())


@pytest.fixture
def files(hub: Hub, tmp_path: Path) -> dict[str, Path]:
    unet = sdxl().unet
    return {
        name: write_style(tmp_path / f"{name}.safetensors", make_factors(unet, seed)) for seed, name in enumerate(NAMES)
    }


def choose(path: Path, weight: float = 1.0) -> StyleChoice:
    return StyleChoice(name=path.stem, weight=weight, sha256=Sha256(sha256(path.read_bytes()).hexdigest()))


def test_the_least_recently_used_goes_and_none_that_is_in_use(hub: Hub, files: dict[str, Path]) -> None:
    ink, oil, chalk = (choose(path) for path in files.values())
    size = files["ink"].stat().st_size
    cache = StyleCache(hub=hub, files=files, bound_bytes=2 * size)
    assert cache.fetch([ink])
    assert cache.fetch([oil])
    assert cache.fetch([ink])
    assert 0 < cache.held_bytes <= 2 * size
    assert cache.fetch([chalk])
    assert cache.loaded == {"ink", "chalk"}
    runs = [hub.submit(sdxl_request(1, 2), adapters={name: 1.0}) for name in ("ink", "chalk")]
    assert not cache.fetch([oil]), "both are in use"
    assert cache.loaded == {"ink", "chalk"}
    finish(hub, *runs)
    assert cache.fetch([oil])
    assert cache.loaded == {"oil", "chalk"}
    assert cache.fetch([ink, oil, chalk]), "one job's styles may be more than the bound"
    assert cache.loaded == set(NAMES)
    for name in NAMES:
        hub.loras.drop(name)


def test_another_file_under_the_name_is_never_drawn_with(hub: Hub, files: dict[str, Path]) -> None:
    ink = choose(files["ink"])
    cache = StyleCache(hub=hub, files=files)
    write_style(files["ink"], make_factors(sdxl().unet, 7))
    with pytest.raises(StyleUnavailable, match="another one than when the job came"):
        cache.fetch([ink])
    assert cache.fetch([choose(files["ink"])])
    with pytest.raises(StyleUnavailable, match="another one"):
        cache.fetch([ink])
    hub.loras.drop("ink")


def test_a_style_that_cannot_be_loaded_costs_its_job_alone(hub: Hub, files: dict[str, Path]) -> None:
    before = {name for name, _ in hub.pipeline.unet.named_parameters()}
    factors = {f"{name}": (down[:, :3], up) for name, (down, up) in make_factors(sdxl().unet).items()}
    cache = StyleCache(hub=hub, files=files)
    with pytest.raises(StyleUnavailable, match="could not be loaded"):
        cache.fetch([choose(write_style(files["ink"], factors))])
    assert {name for name, _ in hub.pipeline.unet.named_parameters()} == before
    with pytest.raises(StyleUnavailable, match="no style 'gone'"):
        cache.fetch([StyleChoice(name="gone", weight=1.0, sha256=Sha256("0"))])
    files["oil"].unlink()
    with pytest.raises(StyleUnavailable, match="cannot be read"):
        cache.fetch([StyleChoice(name="oil", weight=1.0, sha256=Sha256("0"))])
    run = hub.submit(sdxl_request(1, 2))
    finish(hub, run)
    assert torch.isfinite(torch.as_tensor(run.output.images)).all()
