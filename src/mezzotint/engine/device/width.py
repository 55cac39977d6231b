"""The width of a model's filled passes: one run's rows times one to four, as the device's memory allows."""

import hashlib
import json
from collections.abc import Callable, MutableMapping
from typing import Any

from mezzotint.engine.device.memory import DeviceMemory
from mezzotint.engine.hub import Hub
from mezzotint.engine.numerics import GUIDED_ROWS

MOST_RUNS = 4  # wider passes make a lone run wait for copies of itself, and a fused kernel is busy by then
USABLE = 0.8  # of the room: the rest is for text encoders, decoding, previews and fragments


def find_fixed_rows(
    pipeline: Any,
    request: Callable[[], dict[str, Any]],
    *,
    growth: float = 1.0,
    known: MutableMapping[str, str] | None = None,
) -> int:
    """Draw one request in exact mode, and see how many runs as large as may come fit into one pass.

    growth: pixels of the largest picture over those of the request. known: widths found by earlier processes; the
    width decides bits, so it stays what it was whatever else takes memory now. A request that fails leaves each run its
    own rows.
    """
    hub = Hub(pipeline, fixed_rows=1)
    if hub.numerics.fixed_rows is None:
        return GUIDED_ROWS
    facts = hashlib.sha256(json.dumps(hub.fingerprint, sort_keys=True).encode()).hexdigest()[:32]
    key = f"fixed_rows:{facts}"
    found = "" if known is None else known.get(key, "")
    if found.isdecimal():
        return int(found)
    run = hub.submit(request())
    while hub.turn():
        pass
    room = DeviceMemory(hub.device).room_bytes()
    if run.error is not None or hub.largest_pass is None or room is None:
        return 1
    rows, pass_bytes = hub.largest_pass
    fixed = pick_fixed_rows(rows, int(pass_bytes * growth), room)
    if known is not None:
        known[key] = str(fixed)
    return fixed


def pick_fixed_rows(rows: int, pass_bytes: int, room_bytes: int) -> int:
    """rows, pass_bytes: of one run's pass."""
    fitting = [n for n in range(1, MOST_RUNS + 1) if n * pass_bytes <= room_bytes * USABLE]
    return rows * max(fitting, default=1)
