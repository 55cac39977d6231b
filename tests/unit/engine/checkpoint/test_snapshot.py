"""The checkpoint's form: what is written comes back, and nothing else is taken for a checkpoint."""

import hashlib
import json
import tracemalloc
from collections import deque
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionOutput

from mezzotint.domain.errors import CheckpointCorrupt
from mezzotint.engine.checkpoint.codec import VersionedTensor, decode_into, encode
from mezzotint.engine.checkpoint.output_shapes import OutputShapes, describe_output, has_opaque, make_zeros
from mezzotint.engine.checkpoint.rng import RandomStreams
from mezzotint.engine.checkpoint.sampler_state import MemberState, replace_output, restore, take_baseline
from mezzotint.engine.checkpoint.snapshot import (
    DIGEST,
    NO_DIGEST,
    Snapshot,
    decode,
    verify,
)

CPU = torch.device("cpu")


class Sampler:
    """A thing with an attribute of a few kinds."""

    def __init__(self) -> None:
        self.order = 1
        self.history: list[Any] = [None, None]


def member(**changed: Any) -> MemberState:
    forms = {name: encode(value) for name, value in changed.items()}
    return MemberState(name="Sampler", baseline=take_baseline(Sampler()).digest(), changed=forms)


def changed_in(data: bytes) -> dict[str, Any]:
    changed = decode(data).members[0].changed
    assert changed is not None
    return {name: decode_into(None, form, CPU) for name, form in changed.items()}


def put_back(data: bytes) -> Sampler:
    """Do with the bytes what a replay does with them."""
    saved, sampler = decode(data), Sampler()
    replace_output((torch.zeros(1, 4, 2, 2),), saved.output)
    RandomStreams({"generator": torch.Generator()}).restore(saved.origin)
    (state,) = saved.members
    restore(sampler, take_baseline(sampler), state, CPU)
    return sampler


def snapshot(**changes: Any) -> Snapshot:
    specs = OutputShapes()
    for _ in range(3):
        specs.add(describe_output((torch.zeros(2, 4, 2, 2),)))
    fields: dict[str, Any] = {
        "pipeline": "SomePipeline",
        "steps": 3,
        "num_calls": 3,
        "specs": specs,
        "output": [VersionedTensor(torch.randn(1, 4, 2, 2))],
        "earlier": [],
        "members": [member(order=2, history=[torch.ones(2), None])],
        "origin": {"generators": [7], "seed": 3, "device_rng": None},
        "fingerprint": {"torch": "1"},
    }
    return Snapshot(**(fields | changes))


def forged(change: Any) -> bytes:
    """A checkpoint with a changed document and a digest that matches it."""
    data = snapshot().encode()
    size = int.from_bytes(data[:8], "little")
    document = json.loads(json.loads(data[8 : 8 + size])["__metadata__"]["mezzotint"])
    document["sha256"] = NO_DIGEST
    document = change(document) or document
    text = document if isinstance(document, str) else json.dumps(document, separators=(",", ":"))
    made = bytearray(safetensors.torch.save(safetensors.torch.load(data), {"mezzotint": text}))
    found = DIGEST.search(made)
    assert found is not None
    made[found.start(1) : found.end(1)] = hashlib.sha256(made).hexdigest().encode()
    return bytes(made)


def test_what_is_written_comes_back() -> None:
    values = {
        "none": None,
        "flag": True,
        "number": 3,
        "float": 0.1,
        "nan": float("inf"),
        "text": "leading",
        "tuple": (1, [2, {"a": (3,)}]),
        "queue": deque([1, 2], maxlen=4),
        "size": torch.Size([1, 2]),
        "dtype": torch.bfloat16,
        "complex": 1 + 2j,
        "bytes": b"\x00\xff",
        3: "a key that is no text",
    }
    back = changed_in(snapshot(members=[member(values=values)]).encode())["values"]
    assert back == values
    assert [type(item) for item in back.values()] == [type(item) for item in values.values()]
    assert back["queue"].maxlen == 4


def test_code_is_left_as_the_replay_has_it() -> None:
    form = encode({"step": len, "model": torch.nn.Linear(1, 1)})
    held = {"step": len, "model": torch.nn.Linear(1, 1)}
    assert decode_into(held, form, CPU) == held


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.int64, torch.bool, torch.uint8])
def test_tensors_come_back_bit_for_bit(dtype: torch.dtype) -> None:
    tensor = (torch.randn(3, 5) * 3).to(dtype)
    back = changed_in(snapshot(members=[member(a=tensor, b=torch.tensor(1.5), c=tensor[:0])]).encode())
    assert back["a"].dtype == dtype
    assert torch.equal(back["a"], tensor)
    assert back["b"].shape == ()
    assert back["c"].shape == (0, 5)


def test_the_order_of_dimensions_in_memory_comes_back() -> None:
    tensor = torch.randn(2, 4, 3, 5).to(memory_format=torch.channels_last)
    transposed = torch.randn(2, 3, 4).permute(2, 0, 1)
    for made in (tensor, transposed):
        back = changed_in(snapshot(members=[member(a=made)]).encode())["a"]
        assert torch.equal(back, made)
        assert back.stride() == made.stride()


def test_arrays_and_parts_of_objects_come_back() -> None:
    other = Sampler()
    other.order, other.history = 5, [torch.ones(2)]
    changed = {"sigmas": np.linspace(0, 1, 5), "scalar": np.int64(3), "part": other}
    (state,) = decode(snapshot(members=[member(**changed)]).encode()).members
    assert state.changed is not None
    assert np.array_equal(decode_into(None, state.changed["sigmas"], CPU), changed["sigmas"])
    assert decode_into(None, state.changed["scalar"], CPU) == 3
    back = decode_into(Sampler(), state.changed["part"], CPU)
    assert back.order == 5
    assert torch.equal(back.history[0], torch.ones(2))


def test_tensors_that_are_mentioned_twice_are_stored_once_and_come_back_apart() -> None:
    tensor = torch.randn(1, 4, 16, 16)
    once = len(snapshot(members=[member(history=[tensor])]).encode())
    data = snapshot(members=[member(history=[tensor, tensor.clone()])]).encode()
    assert len(data) < once + 200
    first, second = changed_in(data)["history"]
    first.zero_()
    assert torch.equal(second, tensor)


def test_every_flipped_byte_is_found() -> None:
    data = bytearray(snapshot().encode())
    verify(bytes(data))
    for i in range(len(data)):
        data[i] ^= 1 << (i % 8)
        with pytest.raises(CheckpointCorrupt):
            verify(bytes(data))
        data[i] ^= 1 << (i % 8)


def test_every_truncation_and_every_addition_is_found() -> None:
    data = snapshot().encode()
    for cut in range(len(data)):
        with pytest.raises(CheckpointCorrupt):
            verify(data[:cut])
    for more in (b"\x00", b" ", data):
        with pytest.raises(CheckpointCorrupt):
            decode(data + more)


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.pop("specs") and None,
        lambda d: d.update(format=1),
        lambda d: d.update(steps=-1),
        lambda d: d.update(steps=True),
        lambda d: d.update(num_calls=10**12),
        lambda d: d.update(num_calls=4),
        lambda d: d.update(steps=10**9, num_calls=10**9, specs=[[1], [[0, 10**9]]]),
        lambda d: d["specs"][1].append([7, 3]),
        lambda d: d.update(specs=[d["specs"][0], [[7, 3]]]),
        lambda d: d.update(specs=[d["specs"][0], [[0, 3], 5]]),
        lambda d: d.update(output=[{"t": "no such tensor"}]),
        lambda d: d.update(output=[{"t": [["unhashable"], []]}]),
        lambda d: d["output"][0]["t"][1].clear(),
        lambda d: d["output"][0]["t"][1].append(1),
        lambda d: d.update(output=[1, 2]),
        lambda d: d.update(output={"l": 3}),
        lambda d: d.update(output=[]),
        lambda d: d.update(earlier=[3]),
        lambda d: d.update(earlier=[[1, {"t": 1}]]),
        *(
            lambda d, form=form: d["members"][0].__setitem__(2, [["order", form]])
            for form in (
                [1, 2],
                {"weird": 3},
                {},
                {"l": 3},
                {"y": "float33"},
                {"y": "load"},
                {"y": 3},
                {"v": "no such device"},
                {"b": "zz"},
                {"q": [-1, []]},
                {"d": [[{"l": []}, 1]]},
                {"n": [3, True]},
                {"g": 3},
                {"p": ["Sampler", {"d": []}]},
                {"p": ["int", {"d": []}]},
            )
        ),
        lambda d: d.update(members=[["Sampler", 3, None]]),
        lambda d: d.update(members=[["Sampler", "", {"l": []}]]),
        lambda d: d.update(members=[["Sampler", "00", []]]),
        lambda d: d.update(members={"a": 1}),
        lambda d: d.update(fingerprint={"a": 1}),
        lambda d: d.update(fingerprint=[]),
        lambda d: d.update(origin=3),
        lambda d: d["origin"].update(seed="3"),
        lambda d: d["origin"].update(generators=["7"]),
        lambda d: d["origin"].update(generators=[]),
        lambda d: json.dumps(d)[:-1].replace(" ", ""),
        lambda d: json.dumps(d, separators=(",", ":"))[:-1] + ',"x":' + "[" * 50_000 + "]" * 50_000 + "}",
        lambda d: json.dumps(d, separators=(",", ":"))[:-1] + ',"steps":' + "9" * 6000 + "}",
    ],
)
def test_forged_documents_with_a_matching_digest_are_corrupt(change: Any) -> None:
    with pytest.raises(CheckpointCorrupt):
        put_back(forged(change))


def test_what_was_not_forged_can_be_put_back() -> None:
    assert put_back(forged(lambda d: None)).order == 2


def test_bytes_of_other_kinds_are_corrupt() -> None:
    for data in (b"", b"{}", bytes(64), b"\xff" * 64, safetensors.torch.save({"a": torch.ones(3)})):
        with pytest.raises(CheckpointCorrupt):
            decode(data)


def test_a_stated_header_of_terabytes_allocates_nothing() -> None:
    data = (1 << 42).to_bytes(8, "little") + b"{" * 100
    tracemalloc.start()
    with pytest.raises(CheckpointCorrupt):
        decode(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


def test_an_answer_out_of_all_proportion_is_refused_before_it_is_allocated() -> None:
    for form in (
        {"x": [[1 << 19, 1 << 19], "float32"]},
        {"x": [[10**30], "float32"]},
        {"u": [{"x": [[1000, 1000], "float64"]}] * 200},
        {"x": [[-1], "float32"]},
        {"x": [[2.5], "float32"]},
    ):
        with pytest.raises(CheckpointCorrupt):
            make_zeros(form, CPU, 64 << 20)


def test_answers_are_made_only_of_output_classes_of_diffusers() -> None:
    good = describe_output(UNet2DConditionOutput(sample=torch.ones(1, 2)))
    made = make_zeros(json.loads(json.dumps(good)), CPU, 1000)
    assert isinstance(made, UNet2DConditionOutput)
    assert torch.equal(made.sample, torch.zeros(1, 2))
    for module, name in (("os", "system"), ("builtins", "dict"), ("collections", "OrderedDict"), ("nowhere", "X")):
        with pytest.raises(CheckpointCorrupt):
            make_zeros({"o": [module, name, []]}, CPU, 1000)


def test_an_opaque_output_is_known_as_such() -> None:
    assert has_opaque(describe_output((torch.ones(1), object())))
    assert not has_opaque(describe_output((torch.ones(1), [None, 2.0], {"a": torch.ones(1)})))


def test_specs_of_equal_calls_take_the_room_of_one() -> None:
    few, many = OutputShapes(), OutputShapes()
    few.add(describe_output(torch.ones(2)))
    for _ in range(1000):
        many.add(describe_output(torch.ones(2)))
    assert len(json.dumps(many.forms)) == len(json.dumps(few.forms))
    assert len(many) == 1000
    assert many.at(999) == few.at(0)
