"""Decoder processes: started when they are needed, killed and replaced when a picture takes too much of anything.

Its methods block; call them from threads. It works beside any event loop, since it starts processes itself.
"""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from math import prod
from typing import IO

from mezzotint.environment import harmless_environment
from mezzotint.media.uploads.decode import VIEW_PX, Decoded, Reading
from mezzotint.media.uploads.protocol import ANSWER, DECODED, READINGS, READY, REFUSED, REQUEST
from mezzotint.media.uploads.undecodable import Undecodable

PROGRAM = "mezzotint.media.uploads.decoder_process"
OPTIONS = ("-P", "-Wignore", "-m")
"""Nothing is imported from the current folder, and Pillow's warnings of damaged tags do not fill the server's log."""
MAX_CPU_S = 10
"""Processor time of a picture; the slowest honest one took 3 s of a slow core."""
MAX_WALL_S = 30.0
"""Wall time of a picture, on a machine that is busy with other things."""
START_S = 60.0
"""Longest start of a process; usually 0.2 s."""
MAX_BYTES = 1 << 30
"""Address space of one process: Python's own and the copies of a picture of 4096 x 4096 px."""
MAX_ANSWER_BYTES = 96 << 20
"""Largest PNG: noise of the largest size has 67 MB."""
PICTURES = 200
"""Decoded by one process; then another takes its place, so that memory in pieces goes back."""


class DecoderUnavailable(Exception):
    """No process could be started: the machine has no memory or no descriptors left."""


class _DecoderLost(Exception):
    """The process ended or was ended before it answered."""


@dataclass(eq=False)
class _Decoder:
    """A decoder process."""

    process: "subprocess.Popen[bytes]"
    num_pictures: int = 0

    @classmethod
    def start(cls, cpu_s: int, max_bytes: int) -> "_Decoder":
        """Raises: DecoderUnavailable."""
        command = [sys.executable, *OPTIONS, PROGRAM, str(max_bytes), str(cpu_s)]
        environment = {**harmless_environment(), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=environment,
                start_new_session=True,  # Ctrl-C is the server's affair
            )
        except OSError as error:
            raise DecoderUnavailable(str(error)) from error
        decoder = cls(process)
        with decoder._within(START_S):
            is_ready = decoder._answers.read(len(READY)) == READY
        if not is_ready:
            decoder.end()
            raise DecoderUnavailable("a process did not start; its errors stand before this")
        return decoder

    def ask(self, data: bytes, reading: Reading, wall_s: float) -> Decoded:
        """Raises: Undecodable, _DecoderLost."""
        self.num_pictures += 1
        try:
            with self._within(wall_s):
                return self._exchange(data, reading)
        except Undecodable:
            raise
        except (OSError, ValueError) as error:  # the pipe broke, or was closed
            raise _DecoderLost from error

    @contextmanager
    def _within(self, wall_s: float) -> Iterator[None]:
        """Kill the process after `wall_s`, so that no read or write waits longer."""
        timer = threading.Timer(wall_s, self.process.kill)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    @property
    def _answers(self) -> IO[bytes]:
        assert self.process.stdout is not None
        return self.process.stdout

    def _exchange(self, data: bytes, reading: Reading) -> Decoded:
        requests = self.process.stdin
        assert requests is not None
        requests.write(REQUEST.pack(READINGS.index(reading), len(data)))
        requests.write(data)
        requests.flush()
        outcome, width, height, num_bytes, view_bytes = ANSWER.unpack(_read(self._answers, ANSWER.size))
        if num_bytes > MAX_ANSWER_BYTES or view_bytes > 3 * VIEW_PX * VIEW_PX:
            raise _DecoderLost
        content, view = _read(self._answers, num_bytes), _read(self._answers, view_bytes)
        if outcome == REFUSED:
            raise Undecodable(content.decode())
        if outcome != DECODED:
            raise _DecoderLost
        decoded = Decoded(width=width, height=height, png=content, view=view)
        if len(view) != 3 * prod(decoded.view_size):
            raise _DecoderLost
        return decoded

    def end(self) -> None:
        """Kill it, whatever it does."""
        self.process.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            with suppress(OSError):
                if pipe is not None:
                    pipe.close()
        self.process.wait()


class DecoderPool:
    """As many processes as there are calls at once. on_lost: called when a picture ended its process."""

    def __init__(
        self,
        *,
        cpu_s: int = MAX_CPU_S,
        wall_s: float = MAX_WALL_S,
        max_bytes: int = MAX_BYTES,
        on_lost: Callable[[], None] = lambda: None,
    ) -> None:
        self._cpu_s, self._wall_s, self._max_bytes, self._on_lost = cpu_s, wall_s, max_bytes, on_lost
        self._lock = threading.Lock()
        self._idle: list[_Decoder] = []
        self._busy: set[_Decoder] = set()
        self._is_closed = False

    def decode(self, data: bytes, reading: Reading = Reading.PICTURE) -> Decoded:
        """Raises: Undecodable, DecoderUnavailable."""
        with self._decoder() as decoder:
            try:
                return decoder.ask(data, reading, self._wall_s)
            except _DecoderLost as error:
                decoder.num_pictures = PICTURES
                if self._is_closed:
                    raise DecoderUnavailable("the server stops") from error
                self._on_lost()
                raise Undecodable("Reading it takes too long or too much memory; save it again, simpler.") from error

    def close(self) -> None:
        """End all processes, also those that decode."""
        with self._lock:
            self._is_closed = True
            for busy in self._busy:  # its caller's thread then ends it
                busy.process.kill()
            idle, self._idle = self._idle, []
        for decoder in idle:
            decoder.end()

    def pids(self) -> list[int]:
        """Process ids of all decoders."""
        with self._lock:
            return [decoder.process.pid for decoder in (*self._idle, *self._busy)]

    @contextmanager
    def _decoder(self) -> Iterator[_Decoder]:
        decoder = self._take()
        try:
            yield decoder
        finally:
            with self._lock:
                self._busy.discard(decoder)
                is_kept = decoder.num_pictures < PICTURES and not self._is_closed
                if is_kept:
                    self._idle.append(decoder)
            if not is_kept:
                decoder.end()

    def _take(self) -> _Decoder:
        """Raises: DecoderUnavailable."""
        decoder = self._take_idle()
        if decoder is not None:
            return decoder
        decoder = _Decoder.start(self._cpu_s, self._max_bytes)
        with self._lock:
            self._busy.add(decoder)
            if self._is_closed:
                decoder.process.kill()  # its first exchange then fails
        return decoder

    def _take_idle(self) -> _Decoder | None:
        """Raises: DecoderUnavailable."""
        with self._lock:
            if self._is_closed:
                raise DecoderUnavailable("the server stops")
            while self._idle:
                decoder = self._idle.pop()
                if decoder.process.poll() is None:
                    self._busy.add(decoder)
                    return decoder
                decoder.end()
        return None


def _read(pipe: IO[bytes], num_bytes: int) -> bytes:
    """Raises: _DecoderLost."""
    data = pipe.read(num_bytes)
    if len(data) != num_bytes:
        raise _DecoderLost
    return data
