"""The device's memory in numbers, where it has some: a CPU's is not asked."""

import torch


class DeviceMemory:
    """Peak and room of one device. All answers are None on a CPU."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._base_bytes = 0

    @property
    def is_measured(self) -> bool:
        return self._device.type == "cuda"

    def begin_peak(self) -> None:
        """Measure `peak_bytes` from here on."""
        if self.is_measured:
            torch.cuda.reset_peak_memory_stats(self._device)
            self._base_bytes = torch.cuda.memory_allocated(self._device)

    def peak_bytes(self) -> int | None:
        """The most that was allocated since `begin_peak` beyond what was allocated then. Waits for nothing."""
        if not self.is_measured:
            return None
        return torch.cuda.max_memory_allocated(self._device) - self._base_bytes

    def room_bytes(self) -> int | None:
        """Bytes that a pass may allocate: free ones of the device, and those that torch keeps unused."""
        if not self.is_measured:
            return None
        free, _ = torch.cuda.mem_get_info(self._device)
        cached = torch.cuda.memory_reserved(self._device) - torch.cuda.memory_allocated(self._device)
        return free + cached
