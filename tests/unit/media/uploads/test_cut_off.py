"""JPEGs whose end is missing."""

from contextlib import suppress

import pytest
from PIL import Image

from mezzotint.media.uploads import Undecodable
from mezzotint.media.uploads.decode import read_pixels
from tests.making_pictures import encode, noise

PLAIN = [Image.new("RGB", (64, 64), colour) for colour in ("grey", "white", "red")]
MODES = ("L", "RGB", "CMYK")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_whose_last_bytes_are_missing_is_shown(mode: str, progressive: bool) -> None:
    for original in (noise(128, 128), *PLAIN):
        data = encode(original.convert(mode), "JPEG", progressive=progressive)
        whole = read_pixels(data)
        for num_missing in (1, 2, 3, 12):
            picture = read_pixels(data[:-num_missing])
            assert picture.size == whole.size
            upper = (0, 0, whole.width, whole.height // 2)
            if num_missing <= 2:  # of the end mark alone
                assert picture.tobytes() == whole.tobytes()
            elif not progressive:
                assert picture.crop(upper).tobytes() == whole.crop(upper).tobytes()


@pytest.mark.parametrize("mode", MODES)
def test_a_jpeg_of_which_most_is_missing_is_refused(mode: str) -> None:
    data = encode(noise(128, 128).convert(mode), "JPEG")
    for share in (0.06, 0.2, 0.4):
        with pytest.raises(Undecodable, match="cut off"):
            read_pixels(data[: int(share * len(data))])
    assert read_pixels(data[: int(0.7 * len(data))]).size == (128, 128)


def test_a_progressive_jpeg_of_which_only_a_blur_is_there_is_refused() -> None:
    data = encode(noise(128, 128), "JPEG", progressive=True)
    with pytest.raises(Undecodable, match="blurred"):
        read_pixels(data[: len(data) // 4])


def test_a_jpeg_that_ends_between_or_within_its_segments_is_shown_or_refused() -> None:
    data = encode(noise(64, 64), "JPEG", progressive=True)
    for end in range(2, len(data), 7):
        with suppress(Undecodable):
            assert read_pixels(data[:end]).size == (64, 64)
