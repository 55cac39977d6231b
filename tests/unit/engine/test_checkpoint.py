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
from mezzotint.engine.capture import Code, Parts, Seen
from mezzotint.engine.checkpoint import (
    DIGEST,
    NO_DIGEST,
    MemberState,
    Snapshot,
    Specs,
    decode,
    has_opaque,
    spec_of,
    verify,
    zeros_of,
)

CPU = torch.device("cpu")


def snapshot(**changes: Any) -> Snapshot:
    specs = Specs()
    for _ in range(3):
        specs.add(spec_of((torch.zeros(2, 4, 2, 2),)))
    fields: dict[str, Any] = {
        "pipeline": "SomePipeline",
        "steps": 3,
        "num_calls": 3,
        "specs": specs,
        "output": [torch.randn(1, 4, 2, 2)],
        "members": [MemberState(name="Sampler", baseline="00", changed={"order": 2, "history": [torch.ones(2), None]})],
        "origin": {"generators": [7], "rng": None},
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
        "code": Code("step"),
        3: "a key that is no text",
    }
    member = MemberState(name="Sampler", baseline="ab", changed=values)
    back = decode(snapshot(members=[member]).encode()).members[0].changed
    assert back is not None
    assert {k: v for k, v in back.items() if k != "code"} == {k: v for k, v in values.items() if k != "code"}
    assert back["queue"].maxlen == 4
    assert back["code"].name == "step"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.int64, torch.bool, torch.uint8])
def test_tensors_come_back_bit_for_bit(dtype: torch.dtype) -> None:
    tensor = (torch.randn(3, 5) * 3).to(dtype)
    back = decode(snapshot(output=[tensor, torch.tensor(1.5), tensor[:0]]).encode()).output
    assert back[0].dtype == dtype
    assert torch.equal(back[0], tensor)
    assert back[1].shape == ()
    assert back[2].shape == (0, 5)


def test_the_order_of_dimensions_in_memory_comes_back() -> None:
    tensor = torch.randn(2, 4, 3, 5).to(memory_format=torch.channels_last)
    transposed = torch.randn(2, 3, 4).permute(2, 0, 1)
    for made in (tensor, transposed):
        (back,) = decode(snapshot(output=[made]).encode()).output
        assert torch.equal(back, made)
        assert back.stride() == made.stride()


def test_arrays_and_parts_of_objects_come_back() -> None:
    changed = {
        "sigmas": np.linspace(0, 1, 5),
        "scalar": np.float64(0.25),
        "momentum": Parts("Buffer", {"average": Seen(torch.ones(2), 0), "momentum": -0.5}),
    }
    back = decode(snapshot(members=[MemberState(name="S", baseline="", changed=changed)]).encode()).members[0].changed
    assert back is not None
    assert np.array_equal(back["sigmas"], changed["sigmas"])
    assert back["scalar"] == 0.25
    assert back["momentum"].name == "Buffer"
    assert torch.equal(back["momentum"].attributes["average"], torch.ones(2))


def test_tensors_that_are_mentioned_twice_are_stored_once_and_come_back_apart() -> None:
    tensor = torch.randn(1, 4, 16, 16)
    once = len(snapshot(output=[tensor]).encode())
    data = snapshot(output=[tensor, tensor.clone()]).encode()
    assert len(data) < once + 200
    first, second = decode(data).output
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
        lambda d: d.update(format=2),
        lambda d: d.update(steps=-1),
        lambda d: d.update(steps=True),
        lambda d: d.update(num_calls=10**12),
        lambda d: d.update(num_calls=4),
        lambda d: d.update(steps=10**9, num_calls=10**9, specs={"forms": [1], "spans": [[0, 10**9]]}),
        lambda d: d["specs"].update(spans=[[7, 3]]),
        lambda d: d["specs"].update(spans=[[0, 3], 5]),
        lambda d: d.update(output={"t": "no such tensor"}),
        lambda d: d.update(output={"t": ["unhashable"]}),
        lambda d: d.update(output={"l": [{"t": ["0", [0, 1, 2]]}]}),
        lambda d: d.update(output={"l": [{"t": ["0", [0, 1, 2, 2]]}]}),
        lambda d: d.update(output=[1, 2]),
        lambda d: d.update(output={"l": 3}),
        lambda d: d.update(output={"weird": 3}),
        lambda d: d.update(output={}),
        lambda d: d.update(output={"l": [{"y": "float33"}]}),
        lambda d: d.update(output={"l": [{"y": "load"}]}),
        lambda d: d.update(output={"l": [{"v": "no such device"}]}),
        lambda d: d.update(output={"l": [{"b": "zz"}]}),
        lambda d: d.update(output={"l": [{"q": [-1, []]}]}),
        lambda d: d.update(members=[["Sampler", 3, None]]),
        lambda d: d.update(members=[["Sampler", "", {"l": []}]]),
        lambda d: d.update(members={"a": 1}),
        lambda d: d.update(fingerprint={"a": 1}),
        lambda d: d.update(fingerprint=[]),
        lambda d: d.update(origin=3),
        lambda d: json.dumps(d)[:-1].replace(" ", ""),
        lambda d: json.dumps(d, separators=(",", ":"))[:-1] + ',"x":' + "[" * 50_000 + "]" * 50_000 + "}",
        lambda d: json.dumps(d, separators=(",", ":"))[:-1] + ',"steps":' + "9" * 6000 + "}",
    ],
)
def test_forged_documents_with_a_matching_digest_are_corrupt(change: Any) -> None:
    with pytest.raises(CheckpointCorrupt):
        decode(forged(change))


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
            zeros_of(form, CPU, 64 << 20)


def test_answers_are_made_only_of_output_classes_of_diffusers() -> None:
    good = spec_of(UNet2DConditionOutput(sample=torch.ones(1, 2)))
    made = zeros_of(json.loads(json.dumps(good)), CPU, 1000)
    assert isinstance(made, UNet2DConditionOutput)
    assert torch.equal(made.sample, torch.zeros(1, 2))
    for module, name in (("os", "system"), ("builtins", "dict"), ("collections", "OrderedDict"), ("nowhere", "X")):
        with pytest.raises(CheckpointCorrupt):
            zeros_of({"o": [module, name, []]}, CPU, 1000)


def test_an_opaque_output_is_known_as_such() -> None:
    assert has_opaque(spec_of((torch.ones(1), object())))
    assert not has_opaque(spec_of((torch.ones(1), [None, 2.0], {"a": torch.ones(1)})))


def test_specs_of_equal_calls_take_the_room_of_one() -> None:
    few, many = Specs(), Specs()
    few.add(spec_of(torch.ones(2)))
    for _ in range(1000):
        many.add(spec_of(torch.ones(2)))
    assert len(json.dumps(many.forms)) == len(json.dumps(few.forms))
    assert len(many) == 1000
    assert many.at(999) == few.at(0)
