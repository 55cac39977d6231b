"""Tell a lost device from a run that failed.

An error of a kernel can poison a process's context: from then on every call of the device fails, whoever makes it. Only
a process that begins anew gets the device back, so `DeviceLost` ends this one.
"""

import torch

from mezzotint.engine.device.faults import is_out_of_memory
from mezzotint.engine.errors import DeviceLost


def check_device(device: torch.device, error: BaseException) -> None:
    """Ask the device, after an error in work on it, whether it still computes. Raises: DeviceLost."""
    if is_out_of_memory(error):
        return
    try:
        probe(device)
    except Exception as failure:  # noqa: BLE001 - whatever the device answers with
        if not is_out_of_memory(failure):
            reason = str(failure).strip().splitlines()[:1]
            raise DeviceLost(f"{device} computes no more: {''.join(reason) or type(failure).__name__}") from error


def probe(device: torch.device) -> None:
    """Compute one number on the device, after all that it has to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    torch.zeros(1, device=device).add_(1).item()
