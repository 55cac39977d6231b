"""Write a small ONNX model by hand: the package that makes them is not needed for anything else."""

import struct
from pathlib import Path


def write_strong_head(path: Path, factors: list[float]) -> None:
    """A model that scores each output by the mean of the token ids times a factor."""
    nodes = [
        _node("Cast", ["input_ids"], "numbers", _attribute("to", 3, 1) + _number(20, 2)),
        _node("ReduceMean", ["numbers"], "mean", _attribute("axes", 8, 1) + _number(20, 7)),
        _node("Mul", ["mean", "factors"], "logits"),
    ]
    dims = _number(1, 1) + _number(1, len(factors))
    raw = b"".join(struct.pack("<f", factor) for factor in factors)
    constant = dims + _number(2, 1) + _text(8, "factors") + _bytes(9, raw)
    graph = b"".join(_bytes(1, node) for node in nodes) + _text(2, "head") + _bytes(5, constant)
    graph += _bytes(11, _value("input_ids", 7)) + _bytes(11, _value("attention_mask", 7))
    graph += _bytes(12, _value("logits", 1))
    path.write_bytes(_number(1, 8) + _bytes(7, graph) + _bytes(8, _text(1, "") + _number(2, 13)))


def _node(kind: str, inputs: list[str], output: str, attribute: bytes = b"") -> bytes:
    names = b"".join(_text(1, name) for name in inputs) + _text(2, output) + _text(3, output)
    return names + _text(4, kind) + (_bytes(5, attribute) if attribute else b"")


def _attribute(name: str, field: int, value: int) -> bytes:
    return _text(1, name) + _number(field, value)


def _value(name: str, element: int) -> bytes:
    """A matrix of two dimensions of any length."""
    shape = _bytes(1, _text(2, "a")) + _bytes(1, _text(2, "b"))
    return _text(1, name) + _bytes(2, _bytes(1, _number(1, element) + _bytes(2, shape)))


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _text(field: int, value: str) -> bytes:
    return _bytes(field, value.encode())


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])
