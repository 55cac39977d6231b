"""Sexual and graphic content by image-safety-classifier-s (weights of O. Elliott, MIT licence).

Its three classes are NSFL (gore, graphic violence), NSFW (sexual) and SFW.
"""

import numpy as np
from PIL import Image, ImageFilter

from mezzotint.policy.safety.categories import SafetyCategory
from mezzotint.safety.image.weights import load_session, read_sum

WEIGHTS = "image-safety-classifier-s.onnx"
SIDE_PX = 224
BACKGROUND_BLUR_PX = 10.0
MIN_CONTRAST = 4.0
"""Standard deviation of the grey levels (0..255) below which a picture shows nothing. The weights score noise there: a
black picture has 0.47 for NSFW, a grey one 0.12."""


class GraphicClassifier:
    name = "graphic"
    classes = (SafetyCategory.SEXUAL.value, SafetyCategory.VIOLENCE.value)

    def __init__(self) -> None:
        """Load the weights (24 MB). Raises: ModelMissing, ModelCorrupt."""
        self.version = read_sum(WEIGHTS)[:12]
        self._session = load_session(WEIGHTS)

    def score(self, image: Image.Image) -> dict[str, float]:
        """Score; a near-uniform picture has 0 for both."""
        pixels = np.asarray(fit_on_blurred_background(image), dtype=np.float32)
        if float(pixels.mean(axis=2).std()) < MIN_CONTRAST:
            return dict.fromkeys(self.classes, 0.0)
        tensor = np.ascontiguousarray(pixels.transpose(2, 0, 1)[None])
        (probabilities,) = self._session.run(["probabilities"], {"image": tensor})
        nsfl, nsfw, _ = (float(probability) for probability in probabilities[0])
        return {SafetyCategory.SEXUAL.value: nsfw, SafetyCategory.VIOLENCE.value: nsfl}


def fit_on_blurred_background(image: Image.Image) -> Image.Image:
    """Fit the whole picture into a square over a blurred copy of it, as the weights were trained."""
    square = image.resize((SIDE_PX, SIDE_PX), Image.Resampling.LANCZOS)
    scale = SIDE_PX / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    if size == square.size:
        return square
    background = square.filter(ImageFilter.GaussianBlur(BACKGROUND_BLUR_PX))
    inner = image.resize(size, Image.Resampling.LANCZOS)
    background.paste(inner, ((SIDE_PX - size[0]) // 2, (SIDE_PX - size[1]) // 2))
    return background
