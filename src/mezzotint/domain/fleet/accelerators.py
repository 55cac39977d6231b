"""Accelerators that a pool may name: the values of Ray's `accelerator_type`, with the memory of each device."""

from collections.abc import Mapping

CPU = "cpu"
"""A worker without an accelerator."""

GIB = 1 << 30
ACCELERATORS: Mapping[str, int | None] = {
    name: None if gib is None else gib * GIB
    for name, gib in {
        CPU: None,
        "P4": 8,
        "K80": 12,
        "P100": 16,
        "T4": 16,
        "V100": 16,
        "A10G": 24,
        "L4": 24,
        "A100": 40,
        "A100-40G": 40,
        "A100-80G": 80,
        "L40S": 48,
        "H20": 96,
        "H100": 80,
        "H200": 141,
        "B200": 180,
        "B300": 270,
        "GB200": 186,
        "GB300": 279,
        "RTX-PRO-6000": 96,
        "AMD-Instinct-MI100": 32,
        "AMD-Instinct-MI210": 64,
        "AMD-Instinct-MI250X": 64,
        "AMD-Instinct-MI250X-MI250": 64,
        "AMD-Instinct-MI300A": 128,
        "AMD-Instinct-MI300X-OAM": 192,
        "AMD-Instinct-MI300X-HF": 192,
        "AMD-Instinct-MI308X": 192,
        "AMD-Instinct-MI325X-OAM": 256,
        "AMD-Instinct-MI350X-OAM": 288,
        "AMD-Instinct-MI355X-OAM": 288,
    }.items()
}
"""Bytes of one device, of the smallest that is sold by the name; None: its memory is the machine's. Devices that the
engine cannot use (TPUs and others) are left out."""
