"""Decoder processes: bounded, killed, replaced, and never the end of anything but themselves."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from io import BytesIO
from pathlib import Path

import psutil
import pytest
from PIL import Image

from mezzotint.media.uploads import Reading, Undecodable
from mezzotint.media.uploads.decode import read_pixels
from mezzotint.media.uploads.decoder_pool import MAX_BYTES, DecoderPool, DecoderUnavailable
from tests.making_pictures import encode, mutations, noise, with_segment

SMALL = encode(noise(48, 40), "PNG")
CUT_EXIF = b"Exif\0\0MM\0*\0\0\0\x08\0\2" + b"\x01\x0e\0\2\0\0\xff\0\0\0\0\x08"


@pytest.fixture
def pool() -> Iterator[DecoderPool]:
    with closing(DecoderPool()) as pool:
        yield pool


@pytest.fixture(scope="module")
def large() -> bytes:
    """It takes its decoder more than a second, and 70 MB for the pixels alone."""
    return encode(Image.effect_noise((4096, 4096), 90).convert("RGB"), "JPEG", quality=30)


@pytest.mark.parametrize("reading", [Reading.PICTURE, Reading.INVERTED_MASK])
def test_pixels_come_back_as_they_are(pool: DecoderPool, reading: Reading) -> None:
    decoded = pool.decode(SMALL, reading)
    with Image.open(BytesIO(decoded.png)) as picture:
        assert picture.size == (decoded.width, decoded.height) == (48, 40)
        assert picture.tobytes() == read_pixels(SMALL, reading).tobytes()
    assert decoded.view_size == (48, 40)
    assert len(decoded.view) == 3 * 48 * 40


def test_a_process_is_started_when_it_is_needed_and_serves_again(pool: DecoderPool) -> None:
    assert pool.pids() == []
    pool.decode(SMALL)
    first = pool.pids()
    with pytest.raises(Undecodable, match="not a PNG"):
        pool.decode(b"nonsense")
    pool.decode(SMALL)
    assert (len(first), pool.pids()) == (1, first)


def test_requests_and_drawing_come_before_decoding_on_a_busy_machine(pool: DecoderPool) -> None:
    pool.decode(SMALL)
    (pid,) = pool.pids()
    assert psutil.Process(pid).nice() > psutil.Process().nice()


def test_a_picture_that_takes_too_much_time_is_refused_and_its_process_replaced(large: bytes) -> None:
    lost: list[None] = []
    with closing(DecoderPool(cpu_s=0, on_lost=lambda: lost.append(None))) as pool:
        with pytest.raises(Undecodable, match="too long"):
            pool.decode(large)
        assert (pool.pids(), len(lost)) == ([], 1)
        assert pool.decode(SMALL).width == 48


def test_a_picture_that_takes_too_much_memory_is_refused_and_its_process_replaced(large: bytes) -> None:
    lost: list[None] = []
    with closing(DecoderPool(max_bytes=160 << 20, on_lost=lambda: lost.append(None))) as pool:
        with pytest.raises(Undecodable, match="too much memory"):
            pool.decode(large)
        assert (pool.pids(), len(lost)) == ([], 1)
        assert pool.decode(SMALL).width == 48


def test_the_largest_pictures_fit_into_the_bounds(pool: DecoderPool) -> None:
    noisy = Image.effect_noise((4096, 4096), 90)
    alpha = Image.merge("RGBA", (noisy, noisy, noisy, noisy))
    for data in (encode(alpha, "PNG", compress_level=1), encode(noisy.convert("CMYK"), "JPEG", progressive=True)):
        assert pool.decode(data).width == 4096
    (pid,) = pool.pids()
    status = Path(f"/proc/{pid}/status").read_text()
    (peak,) = [int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith("VmPeak")]
    assert peak < 0.8 * MAX_BYTES


def test_a_process_that_hangs_is_killed() -> None:
    with closing(DecoderPool(wall_s=0.5)) as pool:
        while pool.pids() == []:  # a busy machine may take longer for the first
            with suppress(Undecodable):
                pool.decode(SMALL)
        (pid,) = pool.pids()
        os.kill(pid, signal.SIGSTOP)
        with pytest.raises(Undecodable):
            pool.decode(SMALL)
        assert not psutil.pid_exists(pid)


def test_a_process_that_died_between_two_pictures_is_not_noticed(pool: DecoderPool) -> None:
    pool.decode(SMALL)
    (pid,) = pool.pids()
    os.kill(pid, signal.SIGKILL)
    while psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    assert pool.decode(SMALL).width == 48


def test_closing_ends_all_processes_also_those_that_decode(large: bytes) -> None:
    pool = DecoderPool()
    pool.decode(SMALL)
    (pid,) = pool.pids()
    ends: list[BaseException] = []

    def decode() -> None:
        try:
            pool.decode(large)
        except DecoderUnavailable as error:
            ends.append(error)

    os.kill(pid, signal.SIGSTOP)  # so that it decodes until the end
    thread = threading.Thread(target=decode)
    thread.start()
    while not pool._busy:
        time.sleep(0.01)
    pool.close()
    thread.join(30)
    assert (len(ends), psutil.pid_exists(pid)) == (1, False)
    with pytest.raises(DecoderUnavailable):
        pool.decode(SMALL)


def test_a_process_ends_with_the_server_that_started_it() -> None:
    """A server that is killed cannot close anything."""
    program = (
        "import os, sys; from mezzotint.media.uploads.decoder_pool import DecoderPool; pool = DecoderPool();"
        "pool.decode(sys.stdin.buffer.read()); print(pool.pids()[0], flush=True); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", program], input=SMALL, capture_output=True, check=False)
    pid = int(done.stdout)
    deadline = time.monotonic() + 30
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_process_knows_neither_secrets_nor_the_server(pool: DecoderPool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEZZOTINT_TOKEN_SECRET", "do not tell")
    pool.decode(SMALL)
    process = psutil.Process(pool.pids()[0])
    assert not any(name.startswith("MEZZOTINT") for name in process.environ())
    assert process.num_fds() == 3
    libraries = {Path(region.path).name for region in process.memory_maps()}
    assert not [name for name in libraries if "torch" in name or "numpy" in name or "onnx" in name]


def test_hundreds_of_damaged_pictures_end_no_process(pool: DecoderPool) -> None:
    pool.decode(SMALL)
    first = pool.pids()
    num_taken = 0
    for _, data in mutations(180, seed=2):
        with suppress(Undecodable):
            num_taken += bool(pool.decode(data).png)
    assert 0 < num_taken < 180
    assert pool.pids() == first
    assert psutil.Process(first[0]).memory_info().rss < 300 << 20


def test_a_process_is_replaced_after_so_many_pictures(pool: DecoderPool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mezzotint.media.uploads.decoder_pool.PICTURES", 2)
    pool.decode(SMALL)
    first = pool.pids()
    pool.decode(SMALL)
    pool.decode(SMALL)
    assert pool.pids() != first


def test_a_process_that_does_not_start_is_the_servers_fault_not_the_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with closing(DecoderPool()) as pool:
        with pytest.raises(DecoderUnavailable, match="did not start"):
            pool.decode(SMALL)
        monkeypatch.setattr(sys, "executable", "/no/such/program")
        with pytest.raises(DecoderUnavailable):
            pool.decode(SMALL)
        assert pool.pids() == []


def test_a_process_imports_nothing_of_the_folder_that_the_server_was_started_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "PIL").mkdir()
    (tmp_path / "PIL" / "__init__.py").write_text("raise SystemExit(1)")
    monkeypatch.chdir(tmp_path)
    with closing(DecoderPool()) as pool:
        assert pool.decode(SMALL).width == 48


def test_damaged_pictures_write_nothing_into_the_servers_log(capfd: pytest.CaptureFixture[str]) -> None:
    """Pillow warns of every damaged tag."""
    with closing(DecoderPool()) as pool:
        for _, data in mutations(60, seed=5):
            with suppress(Undecodable):
                pool.decode(data)
        pool.decode(with_segment(encode(noise(16, 12), "JPEG"), 0xE1, CUT_EXIF))
    assert capfd.readouterr().err == ""
