"""Bits that can be read from noise: 32 of payload, a CRC-16, and a convolutional code of rate 1/2.

Sources: CRC-16/CCITT-FALSE; the code of constraint length 7 with the generators 171 and 133 (octal), decoded by
Viterbi's algorithm on soft values.
"""

import numpy as np
from numpy.typing import NDArray

PAYLOAD_BITS = 32
CHECK_BITS = 16
MEMORY = 6
NUM_CODED = 2 * (PAYLOAD_BITS + CHECK_BITS + MEMORY)
GENERATORS = (0o171, 0o133)
STATES = 1 << MEMORY
PARITY = np.array([number.bit_count() & 1 for number in range(2 * STATES)])


def encode_payload(payload: int) -> NDArray[np.int64]:
    """The coded bits, NUM_CODED of 0 or 1. payload: 0 .. 2**32 - 1."""
    word = (payload << CHECK_BITS) | compute_crc(payload)
    bits = [(word >> place) & 1 for place in reversed(range(PAYLOAD_BITS + CHECK_BITS))]
    register, coded = 0, []
    for bit in bits + [0] * MEMORY:
        register = ((register << 1) | bit) & (2 * STATES - 1)
        coded += [int(PARITY[register & generator]) for generator in GENERATORS]
    return np.array(coded)


def decode_payload(soft: NDArray[np.float64]) -> int | None:
    """The most likely payload; None when its CRC does not fit. soft: [NUM_CODED], above 0 where a bit is rather 1."""
    new = np.arange(STATES)
    bit, before = new & 1, np.stack([new >> 1, (new >> 1) | (STATES >> 1)])
    register = (before << 1) | bit
    first, second = (2 * PARITY[register & generator] - 1 for generator in GENERATORS)
    metric = np.full(STATES, -np.inf)
    metric[0] = 0.0
    came_from = []
    for value in soft.reshape(-1, 2):
        paths = metric[before] + first * value[0] + second * value[1]
        choice = paths.argmax(axis=0)
        came_from.append(before[choice, new])
        metric = paths.max(axis=0)
    state, bits = 0, []
    for previous in reversed(came_from):
        bits.append(state & 1)
        state = int(previous[state])
    word = int("".join(map(str, bits[: MEMORY - 1 : -1])), 2)
    payload = word >> CHECK_BITS
    return payload if word & (2**CHECK_BITS - 1) == compute_crc(payload) else None


def compute_crc(payload: int) -> int:
    crc = 0xFFFF
    for byte in payload.to_bytes(PAYLOAD_BITS // 8, "big"):
        crc ^= byte << 8
        for _ in range(8):
            crc = ((crc << 1) ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xFFFF
    return crc
