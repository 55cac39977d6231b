"""Previews inside events."""

from base64 import b64decode
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from mezzotint.media import preview_data_url


@pytest.mark.parametrize(
    ("shape", "size"), [((64, 64, 3), (64, 64)), ((48, 80, 3), (80, 48)), ((1024, 512, 3), (128, 256))]
)
def test_a_preview_is_a_small_webp_of_the_same_shape(shape: tuple[int, int, int], size: tuple[int, int]) -> None:
    rows = np.linspace(0, 255, shape[0], dtype=np.uint8)[:, None, None]
    rgb = np.broadcast_to(rows, shape).copy()
    url = preview_data_url(rgb)
    assert len(url) < 16_000
    head, _, body = url.partition(",")
    assert head == "data:image/webp;base64"
    image = Image.open(BytesIO(b64decode(body, validate=True)))
    assert image.format == "WEBP"
    assert image.size == size
    assert abs(int(np.asarray(image)[-1, 0, 0]) - 255) < 12
    assert int(np.asarray(image)[0, 0, 0]) < 12


def test_a_view_that_is_not_contiguous_is_encoded_as_seen() -> None:
    rgb = np.random.default_rng(1).integers(0, 256, (32, 64, 3), dtype=np.uint8)
    view = rgb[:, ::-2]
    assert preview_data_url(view) == preview_data_url(np.ascontiguousarray(view))
