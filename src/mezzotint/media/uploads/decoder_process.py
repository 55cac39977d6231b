"""The program of a decoder process: reads pictures from standard input, answers on standard output, until either ends.

It imports Pillow and nothing of the server, has no descriptor but its three pipes, and bounds its own memory and the
processor time of each picture. A picture that runs into the time bound ends it; the pool then starts another.
"""

import os
import sys
from types import ModuleType
from typing import BinaryIO

from mezzotint.media.uploads.decode import Decoded, Reading, decode
from mezzotint.media.uploads.protocol import ANSWER, DECODED, OUT_OF_MEMORY, READINGS, READY, REFUSED, REQUEST
from mezzotint.media.uploads.undecodable import Undecodable

resource: ModuleType | None
try:
    import resource
except ImportError:  # on Windows, which has no such limits: the pool's wall time alone bounds a picture there
    resource = None

NICENESS = 10
"""A busy machine gives a process at 10 a tenth of the time of one at 0: requests and drawing come first. At 19 it would
be a seventieth, and an honest photograph would run into the pool's wall time while pictures are drawn."""


def main(max_bytes: int, cpu_s: int) -> None:
    """Serve until standard input ends. max_bytes: of address space. cpu_s: of one picture."""
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    _bound_memory(max_bytes)
    sink.write(READY)
    sink.flush()
    while head := source.read(REQUEST.size):
        reading, num_bytes = REQUEST.unpack(head)
        if resource is not None:  # the limit counts all that the process ever used: raised before each picture
            used, (_, hard) = resource.getrusage(resource.RUSAGE_SELF), resource.getrlimit(resource.RLIMIT_CPU)
            resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + 1 + cpu_s, hard))
        if not _answer(sink, source.read(num_bytes), READINGS[reading]):
            return


def _answer(sink: BinaryIO, data: bytes, reading: Reading) -> bool:
    """Returns whether the process can go on: one that ran out of memory keeps what it has for nothing."""
    try:
        decoded = decode(data, reading)
    except Undecodable as error:
        _write(sink, REFUSED, message=str(error))
    except MemoryError:
        _write(sink, OUT_OF_MEMORY)
        return False
    else:
        _write(sink, DECODED, decoded)
    return True


def _write(sink: BinaryIO, outcome: int, decoded: Decoded | None = None, message: str = "") -> None:
    if decoded is None:
        text = message.encode()
        sink.write(ANSWER.pack(outcome, 0, 0, len(text), 0) + text)
    else:
        sizes = len(decoded.png), len(decoded.view)
        sink.write(ANSWER.pack(outcome, decoded.width, decoded.height, *sizes))
        sink.write(decoded.png)
        sink.write(decoded.view)
    sink.flush()


def _bound_memory(max_bytes: int) -> None:
    """Limit the address space, where the system can: macOS cannot."""
    if resource is None:
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        resource.setrlimit(resource.RLIMIT_AS, (max_bytes, max_bytes))
    except (ValueError, OSError):
        print("this system does not bound the memory of a process", file=sys.stderr)  # noqa: T201


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
