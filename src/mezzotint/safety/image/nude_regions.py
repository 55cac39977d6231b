"""Naked parts of bodies, by NudeNet. Its licence is the AGPL-3.0, so it comes with the extra `nsfw-regions` alone."""

from importlib.metadata import version

import numpy as np
from PIL import Image

from mezzotint.domain.errors import ModelMissing
from mezzotint.policy.safety.categories import SafetyCategory

EXPOSED = {
    "FEMALE_GENITALIA_EXPOSED",
    "MALE_GENITALIA_EXPOSED",
    "FEMALE_BREAST_EXPOSED",
    "ANUS_EXPOSED",
    "BUTTOCKS_EXPOSED",
}


class NudeRegions:
    name = "nude_regions"
    classes = (SafetyCategory.SEXUAL.value,)

    def __init__(self) -> None:
        """Raises: ModelMissing."""
        try:
            from nudenet import NudeDetector
        except ImportError as error:
            raise ModelMissing("nude_regions needs the package nudenet: install mezzotint[nsfw-regions]") from error
        self.version = version("nudenet")
        self._detector = NudeDetector(providers=["CPUExecutionProvider"])

    def score(self, image: Image.Image) -> dict[str, float]:
        """Return the highest score of a region that is naked."""
        found = self._detector.detect(np.ascontiguousarray(np.asarray(image)[:, :, ::-1]))
        scores = (float(region["score"]) for region in found if region["class"] in EXPOSED)
        return {SafetyCategory.SEXUAL.value: max(scores, default=0.0)}
