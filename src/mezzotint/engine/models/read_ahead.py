"""Read weights ahead of their libraries, and count.

Libraries map weights into memory and read each page when it is first used, so their progress cannot be seen. This
module reads the files once before, from beginning to end; the libraries then find them in the system's cache.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

CHUNK_BYTES = 1 << 20
"""Less than a percent of any model that takes long to load."""
MOST_OF_MEMORY = 0.6


def host_bytes() -> int:
    """Bytes of the host's memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def read_ahead(files: Sequence[Path], tell: Callable[[float], None]) -> None:
    """Bring files into the system's cache. tell: hears the share of their bytes that is read, each percent once, and
    1.0 last. Files that the host's memory cannot keep are not read: they would come from the disk twice.

    Raises: OSError.
    """
    chunk = memoryview(bytearray(CHUNK_BYTES))
    num_bytes, num_read, told = sum(file.stat().st_size for file in files), 0, 0
    for path in files if num_bytes < MOST_OF_MEMORY * host_bytes() else ():
        with path.open("rb", buffering=0) as file:
            while read := file.readinto(chunk):
                num_read += read
                percent = 100 * num_read // num_bytes if num_bytes else 0
                if told < percent < 100:
                    told = percent
                    tell(percent / 100)
    tell(1.0)
