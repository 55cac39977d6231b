"""The apparent age of the faces in a picture, by dlib's age network (weights by Cydral Technology, CC0)."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mezzotint.policy.safety.images import YOUNG_FACE
from mezzotint.safety.image.faces import Face, FaceFinder
from mezzotint.safety.image.weights import load_session, read_sum

WEIGHTS = "face-age.onnx"
SIDE_PX = 64
MEANS = np.array([122.781998, 117.000999, 104.297997], dtype=np.float32)
MARGIN = 0.2
GROWN_UP = 21
"""Years. The network errs by several years: who looks younger than this counts as perhaps under 18."""
MAX_FACES = 8

PLACES = np.array([(0.2273, 0.2214), (0.7528, 0.2212), (0.490127, 0.515625)], dtype=np.float32)
"""Places of the eyes and the nose in the mean face of the network's training, in a square without its margin."""


class YoungFaces:
    name = "young_face"
    classes = (YOUNG_FACE,)

    def __init__(self) -> None:
        """Load the weights (13 MB). Raises: ModelMissing, ModelCorrupt."""
        self.version = read_sum(WEIGHTS)[:12]
        self._finder = FaceFinder()
        self._session = load_session(WEIGHTS)

    def score(self, image: Image.Image) -> dict[str, float]:
        """Return the probability that the youngest face is not that of a grown-up; 0 where there is no face."""
        faces = self._finder.find(image)[:MAX_FACES]
        return {YOUNG_FACE: max((float(self._ages(image, face)[:GROWN_UP].sum()) for face in faces), default=0.0)}

    def estimate_ages(self, image: Image.Image) -> list[float]:
        """Return the expected age of each face, in years, the surest face first."""
        faces = self._finder.find(image)[:MAX_FACES]
        return [float(self._ages(image, face) @ np.arange(81)) for face in faces]

    def _ages(self, image: Image.Image, face: Face) -> NDArray[np.float32]:
        """Return [81] probabilities, of each year of age."""
        pixels = (np.asarray(align_face(image, face), dtype=np.float32) - MEANS) / 256
        tensor = np.ascontiguousarray(pixels.transpose(2, 0, 1)[None])
        ages: NDArray[np.float32] = self._session.run(["probabilities"], {"images": tensor})[0][0]
        return ages


def align_face(image: Image.Image, face: Face) -> Image.Image:
    """Turn and scale the face into a square of 64 px, its eyes and nose as near to `PLACES` as that can bring them."""
    places = (PLACES + MARGIN) / (1 + 2 * MARGIN) * SIDE_PX
    ones, zeros = np.ones(len(places), np.float32), np.zeros(len(places), np.float32)
    x, y = places.T
    equations = np.concatenate([np.stack([x, -y, ones, zeros], axis=1), np.stack([y, x, zeros, ones], axis=1)])
    (a, b, left, top), *_ = np.linalg.lstsq(equations, face.points[: len(places)].T.ravel(), rcond=None)
    scale = float(np.hypot(a, b))
    if scale > 1:  # shrink before: the transform below samples single pixels
        smaller = (max(1, round(image.width / scale)), max(1, round(image.height / scale)))
        image = image.resize(smaller, Image.Resampling.BOX)
        a, b, left, top = (float(value) / scale for value in (a, b, left, top))
    return image.transform(
        (SIDE_PX, SIDE_PX), Image.Transform.AFFINE, (a, -b, left, b, a, top), Image.Resampling.BILINEAR
    )
