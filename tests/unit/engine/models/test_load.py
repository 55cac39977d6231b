"""How weights are brought into memory, and what is refused before they are."""

from typing import Any

import pytest
import torch

from mezzotint.engine import Hub, PreviewMap
from mezzotint.engine.models import files, load
from mezzotint.engine.models.catalog import ModelEntry, ModelsInvalid

STARTER = files.locate("starter")
QUANTO = {"backend": "quanto", "options": {"weights_dtype": "int8"}}


def entry(**changes: Any) -> ModelEntry:
    return ModelEntry.model_validate({"name": "ink", "source": "starter"} | changes)


@pytest.mark.parametrize(
    ("changes", "device", "exact", "said"),
    [
        ({"offload": "model"}, "cpu", True, "ink: offload = 'model' needs CUDA"),
        ({"offload": "sequential"}, "cpu", False, "needs CUDA"),
        ({"quantization": QUANTO}, "cpu", True, "ink: quantization needs CUDA"),
        ({"quantization": QUANTO}, "cuda", True, "needs the Python package optimum.quanto"),
        ({"quantization": QUANTO | {"backend": "magic"}}, "cuda", True, "unknown quantization backend 'magic'"),
        ({"compile": True}, "cuda", True, "needs fast mode"),
    ],
)
def test_what_this_machine_cannot_do_is_refused_by_name(
    changes: dict[str, Any], device: str, exact: bool, said: str
) -> None:
    with pytest.raises(ModelsInvalid, match=said):
        load.check_entry(entry(**changes), device, exact=exact)


def test_what_it_can_do_is_not() -> None:
    load.check_entry(entry(dtype="bfloat16"), "cpu", exact=True)
    load.check_entry(entry(compile=True), "cpu", exact=False)
    load.check_entry(entry(offload="sequential"), "cuda", exact=True)


def test_weights_have_the_dtype_asked_for_and_draw_with_it() -> None:
    pipeline = load.load_pipeline(STARTER, "cpu", entry(dtype="bfloat16"))
    assert {p.dtype for part in (pipeline.unet, pipeline.vae, pipeline.text_encoder) for p in part.parameters()} == {
        torch.bfloat16
    }
    assert pipeline("a red apple", num_inference_steps=1).images[0].size == (64, 64)
    plain = load.load_pipeline(STARTER, "cpu")
    assert plain.unet.dtype == torch.float32
    assert load.num_bytes(plain) == pytest.approx(2 * load.num_bytes(pipeline), rel=0.01)


def test_convolutions_are_channels_last_where_the_card_or_the_list_says_so() -> None:
    def order(**changes: Any) -> bool:
        weight: torch.Tensor = load.load_pipeline(STARTER, "cpu", entry(**changes)).unet.conv_in.weight
        return weight.is_contiguous(memory_format=torch.channels_last)

    assert order()
    assert not order(channels_last=False)


def test_compiling_is_left_to_torch_and_asked_of_the_denoiser_alone() -> None:
    pipeline = load.load_pipeline(STARTER, "cpu", entry(compile=True))
    assert pipeline.unet._compiled_call_impl is not None
    assert pipeline.vae._compiled_call_impl is None


def test_the_size_on_disk_is_near_that_in_memory() -> None:
    assert files.num_bytes(STARTER) == pytest.approx(load.num_bytes(load.load_pipeline(STARTER, "cpu")), rel=0.3)


def test_an_offloaded_model_draws_the_same_picture_one_run_at_a_time() -> None:
    """On a CPU "offloading" moves weights from main memory to main memory, by the same hooks."""
    pipeline = load.load_pipeline(STARTER, "cpu", entry(offload="model"))
    assert hasattr(pipeline.unet, "_hf_hook")
    plain = Hub(load.load_pipeline(STARTER, "cpu"))
    hub = Hub(pipeline)
    assert hub.fingerprint == plain.fingerprint
    runs = [one.submit(asked(seed)) for one in (plain, hub) for seed in (1, 2)]
    assert hub.is_exclusive
    while plain.turn() or hub.turn():
        pass
    assert [run.traceback for run in runs] == [""] * 4
    pictures = [run.output.images[0].tobytes() for run in runs]
    assert pictures[:2] == pictures[2:]
    assert PreviewMap.fit(pipeline.vae).image(runs[-1].latents) is not None


def asked(seed: int) -> dict[str, Any]:
    return {"prompt": "a red apple", "num_inference_steps": 3, "generator": torch.Generator().manual_seed(seed)}
