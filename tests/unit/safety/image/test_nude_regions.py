"""NudeNet comes with an extra: its absence is told; where it is installed, harmless pictures pass."""

from importlib.util import find_spec

import pytest
from PIL import Image

from mezzotint.domain.errors import ModelMissing
from mezzotint.safety.image.nude_regions import NudeRegions


@pytest.mark.skipif(find_spec("nudenet") is not None, reason="nudenet is installed")
def test_without_the_package_the_extra_is_named() -> None:
    with pytest.raises(ModelMissing, match="nsfw-regions"):
        NudeRegions()


def test_an_apple_has_no_naked_region(apple: Image.Image) -> None:
    pytest.importorskip("nudenet")
    assert NudeRegions().score(apple) == {"sexual": 0.0}
