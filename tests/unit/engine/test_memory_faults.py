"""Memory that runs out, with every text a device has for it, at every place of a run, in groups of runs.

A shortage that passes costs nobody a bit; one that lasts for one run fails that run alone, with what would fit.
"""

import copy
import json
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from diffusers import EulerDiscreteScheduler, StableDiffusionImg2ImgPipeline
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from mezzotint.domain.errors import OutOfMemory
from mezzotint.engine import EmbeddingCache, Hub, PreviewMap, Run
from mezzotint.engine import embeddings as embeddings_module
from mezzotint.engine import preview as preview_module
from mezzotint.engine.batching import passes as passes_module
from mezzotint.engine.batching.verify import Verifier
from mezzotint.engine.checkpoint import recorder as recorder_module
from mezzotint.engine.checkpoint import snapshot as snapshot_module
from mezzotint.engine.proxy import current_run
from tests.conformance.engine.driving import finish, run_alone, same_pictures, turn_until_idle
from tests.conformance.engine.zoo.classic import BETAS, parts
from tests.conformance.engine.zoo.parts import common, picture, seeded
from tests.unit.engine.device.test_faults import SHORTAGES

GROUPS = (1, 2, 4, 8)
Fault = Callable[..., Exception | None]


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Image to image with a real text encoder, so that a run passes every place."""
    folder = tmp_path_factory.mktemp("tokenizer")
    words = ["<|startoftext|>", "<|endoftext|>", *(f"{letter}</w>" for letter in "abcdefgh"), *"abcdefgh"]
    (folder / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=16)
    config = CLIPTextConfig(
        vocab_size=len(words),
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=16,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )
    sampler = EulerDiscreteScheduler(**BETAS)
    return seeded(
        lambda: StableDiffusionImg2ImgPipeline(
            **parts(sampler, text_encoder=CLIPTextModel(config), tokenizer=tokenizer)
        )
    )()


def request(i: int) -> dict[str, Any]:
    return common(i, 3) | {"prompt": "abcdefgh"[i], "image": picture(i), "strength": 0.8, "guidance_scale": 4 + 0.3 * i}


@pytest.fixture(scope="module")
def alone(pipeline: Any) -> list[Run]:
    return [run_alone(pipeline, request(i)) for i in range(8)]


class Injector:
    """Stands before functions and raises what `fault` answers for their arguments; counts what it raised.

    A failed call leaves a tensor in its frame; `held` says whether one was still there at the next call.
    """

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self.num_raised = 0
        self.held = False
        self._activation: weakref.ref[torch.Tensor] | None = None

    def before(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def stand_in(*args: Any, **kwargs: Any) -> Any:
            self.held = self.held or (self._activation is not None and self._activation() is not None)
            error = self.fault(*args, **kwargs)
            if error is not None:
                self.num_raised += 1
                activation = torch.ones(64)
                self._activation = weakref.ref(activation)
                raise fresh(error)
            return function(*args, **kwargs)

        return stand_in


def fresh(error: Exception) -> Exception:
    """The error as if it came for the first time."""
    return type(error)(*error.args)


def once(error: Exception) -> Fault:
    left = [error]
    return lambda *args, **kwargs: left.pop() if left else None


def owner(pipeline: Any, place: str) -> tuple[Any, str]:
    """The object and the attribute that stand for a place."""
    return {
        "text encoder": (pipeline.text_encoder, "forward"),
        "encode": (pipeline.vae, "encode"),
        "decode": (pipeline.vae, "decode"),
        "pass": (pipeline.unet, "forward"),
        "merge": (passes_module, "merge"),
        "split": (passes_module, "split"),
        "verification": (Verifier, "judge"),
        "checkpoint copy": (recorder_module, "copy_to_host"),
        "embedding cache": (embeddings_module, "_copy_to_host"),
        "preview": (preview_module, "_decode"),
    }[place]


PLACES = (
    "text encoder",
    "encode",
    "decode",
    "pass",
    "merge",
    "split",
    "verification",
    "checkpoint copy",
    "embedding cache",
    "preview",
)


@pytest.fixture
def inject(pipeline: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Fault], Injector]:
    def put(place: str, fault: Fault) -> Injector:
        injector = Injector(fault)
        target, name = owner(pipeline, place)
        monkeypatch.setattr(target, name, injector.before(getattr(target, name)))
        return injector

    return put


@pytest.fixture(scope="module")
def previews(pipeline: Any) -> PreviewMap:
    return replace(PreviewMap.fit(copy.deepcopy(pipeline.vae)), decode_s=0.0)


def draw(pipeline: Any, previews: PreviewMap, num_runs: int, *, exact: bool = True) -> tuple[Hub, list[Run]]:
    """A group of runs to its end, saved and shown at every step."""
    hub = Hub(pipeline, exact=exact)

    def show(run: Run) -> None:
        assert run.latents is not None
        assert previews.image(run.latents) is not None

    runs = [hub.submit(request(i), on_step=show, checkpoint_every=1) for i in range(num_runs)]
    turn_until_idle(hub)
    return hub, runs


@pytest.fixture
def cached(pipeline: Any) -> Iterator[EmbeddingCache]:
    forward = pipeline.text_encoder.forward
    cache = EmbeddingCache()
    cache.attach(pipeline)
    yield cache
    pipeline.text_encoder.forward = forward


CASES = [
    pytest.param(place, SHORTAGES[(4 * i + j) % len(SHORTAGES)], num_runs, id=f"{place}-{num_runs}")
    for i, place in enumerate(PLACES)
    for j, num_runs in enumerate(GROUPS)
]
"""Every place in every group; each text several times."""


@pytest.mark.usefixtures("cached")
@pytest.mark.parametrize(("place", "error", "num_runs"), CASES)
def test_a_shortage_that_passes_costs_no_run_a_bit(
    pipeline: Any,
    previews: PreviewMap,
    alone: list[Run],
    inject: Callable[[str, Fault], Injector],
    place: str,
    error: Exception,
    num_runs: int,
) -> None:
    injector = inject(place, once(error))
    _, runs = draw(pipeline, previews, num_runs)
    assert injector.num_raised == 1 or (place in {"merge", "split", "verification"} and num_runs == 1)
    assert not injector.held, "what the failed call had computed was still in memory when it was made again"
    assert [run.error for run in runs] == [None] * num_runs
    assert all(same_pictures(a, b) for a, b in zip(alone, runs, strict=False))


WORDS = {
    "text encoder": "while the prompt was read",
    "encode": "while the given picture was encoded at 1,024 pixels",
    "decode": "while the picture was decoded at 1,024 pixels",
}


@pytest.mark.parametrize("num_runs", GROUPS)
@pytest.mark.parametrize("place", WORDS)
def test_a_shortage_that_lasts_for_one_run_fails_it_alone(
    pipeline: Any,
    previews: PreviewMap,
    alone: list[Run],
    inject: Callable[[str, Fault], Injector],
    place: str,
    num_runs: int,
) -> None:
    def fault(*args: Any, **kwargs: Any) -> Exception | None:
        run: Any = current_run()
        return SHORTAGES[num_runs] if run is not None and run.run.id == num_runs else None

    injector = inject(place, fault)
    _, runs = draw(pipeline, previews, num_runs)
    *others, failed = runs
    assert injector.num_raised == 2
    assert isinstance(failed.error, OutOfMemory)
    assert WORDS[place] in str(failed.error)
    assert all(same_pictures(a, b) for a, b in zip(alone, others, strict=False))


@pytest.mark.parametrize("num_runs", GROUPS)
@pytest.mark.parametrize("exact", [True, False])
def test_one_pass_of_a_form_fails_at_most_where_memory_has_no_room_for_company(
    pipeline: Any,
    previews: PreviewMap,
    alone: list[Run],
    inject: Callable[[str, Fault], Injector],
    num_runs: int,
    exact: bool,
) -> None:
    def fault(sample: torch.Tensor, *args: Any, **kwargs: Any) -> Exception | None:
        return SHORTAGES[num_runs] if len(sample) > 2 else None

    injector = inject("pass", fault)
    _, runs = draw(pipeline, previews, num_runs, exact=exact)
    assert injector.num_raised == (num_runs > 1)
    assert not injector.held
    assert [run.error for run in runs] == [None] * num_runs
    if exact:
        assert all(same_pictures(a, b) for a, b in zip(alone, runs, strict=False))


def test_checkpoints_are_taken_again_once_there_is_memory_for_them(
    pipeline: Any, inject: Callable[[str, Fault], Injector]
) -> None:
    inject("checkpoint copy", once(MemoryError()))
    hub, taken = Hub(pipeline), []
    run = hub.submit(request(0), checkpoint_every=1, on_checkpoint=lambda run, snapshot: taken.append(snapshot.steps))
    finish(hub, run)
    assert taken == [2]
    assert hub.unsaved_reasons == {"memory ran out": 1}


@pytest.mark.parametrize("place", ["text encoder", "encode"])
def test_memory_that_runs_out_in_a_replay_says_nothing_against_its_checkpoint(
    pipeline: Any,
    alone: list[Run],
    inject: Callable[[str, Fault], Injector],
    monkeypatch: pytest.MonkeyPatch,
    place: str,
) -> None:
    saved = run_alone(pipeline, request(0), checkpoint_at=1).checkpoint
    with monkeypatch.context() as patched:
        target, name = owner(pipeline, place)
        patched.setattr(target, name, Injector(lambda *args, **kwargs: MemoryError()).before(getattr(target, name)))
        hub = Hub(pipeline)
        failed = hub.submit(request(0), resume=saved)
        turn_until_idle(hub)
        assert isinstance(failed.error, OutOfMemory)
    resumed = hub.submit(request(0), resume=saved)
    finish(hub, resumed)
    assert same_pictures(alone[0], resumed)


def test_memory_that_runs_out_while_a_checkpoint_is_read_says_nothing_against_it(
    pipeline: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = run_alone(pipeline, request(0), checkpoint_at=1).checkpoint

    def run_out(data: bytes) -> Any:
        raise MemoryError

    monkeypatch.setattr(snapshot_module.safetensors.torch, "load", run_out)
    failed = Hub(pipeline).submit(request(0), resume=saved)
    assert isinstance(failed.error, OutOfMemory)
