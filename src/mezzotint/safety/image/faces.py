"""Find faces with MTCNN (Zhang et al. 2016): three small networks, the first over a pyramid of sizes.

The weights are those of FaceNet's MTCNN (MIT licence). They read pixels with rows and columns exchanged.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mezzotint.safety.image.weights import load_session

WEIGHTS = ("mtcnn-p.onnx", "mtcnn-r.onnx", "mtcnn-o.onnx")
MAX_SIDE_PX = 640
"""Larger pictures are shrunk first, so that time and memory are bounded: the smallest face found is a 30th of them."""
MIN_FACE_PX = 20
MAX_CANDIDATES = 400
"""Boxes that reach the second network, those with the best scores: a picture of noise has thousands."""
SCALE_STEP = 0.709
CELL_PX, STRIDE_PX = 12, 2
FIRST, SECOND, THIRD = 0.6, 0.7, 0.7
"""Scores of the three networks from which a box stays; the authors' values."""
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Face:
    """score: 0..1. points: [5, 2] x and y in px of the left eye, right eye, nose, left and right corner of the mouth,
    as the viewer sees them."""

    score: float
    points: Floats


class FaceFinder:
    def __init__(self) -> None:
        """Load the weights (2 MB). Raises: ModelMissing, ModelCorrupt."""
        self._proposals, self._refinement, self._output = (load_session(name) for name in WEIGHTS)

    def find(self, image: Image.Image) -> list[Face]:
        """Find the faces of an RGB picture, the surest first."""
        shrunk = min(1.0, MAX_SIDE_PX / max(image.size))
        if shrunk < 1.0:
            image = image.resize((max(1, int(image.width * shrunk)), max(1, int(image.height * shrunk))))
        boxes = self._propose(image)
        for side, network, threshold in ((24, self._refinement, SECOND), (48, self._output, THIRD)):
            boxes = _make_square(boxes)
            if not len(boxes):
                return []
            moved, *points, scores = network.run(None, {network.get_inputs()[0].name: _cut_out(image, boxes, side)})
            is_kept = scores[:, 1] > threshold
            squares, boxes = boxes[is_kept], _move(boxes[is_kept], moved[is_kept], scores[is_kept, 1])
        shares = points[0][is_kept]  # [n, 10], five x and five y in shares of the square
        sides = (squares[:, 2:4] - squares[:, 0:2])[:, None]
        places: Floats = squares[:, None, 0:2] + np.stack([shares[:, :5], shares[:, 5:]], axis=2) * sides
        places = places / np.float32(shrunk)
        kept = _suppress(boxes, 0.7, of_smaller=True)
        return [Face(score=float(boxes[at, 4]), points=places[at]) for at in kept]

    def _propose(self, image: Image.Image) -> Floats:
        """Return [n, 5] boxes: left, top, right, bottom, score."""
        found: list[Floats] = []
        scale = CELL_PX / MIN_FACE_PX
        while min(image.size) * scale >= CELL_PX:
            size = (int(np.ceil(image.width * scale)), int(np.ceil(image.height * scale)))
            pixels = _normalise(np.asarray(image.resize(size, Image.Resampling.BOX))).transpose(1, 0, 2)[None]
            moved, scores = self._proposals.run(None, {"input_1": pixels})
            boxes = _read_proposals(moved[0], scores[0, :, :, 1], scale)
            found.append(boxes[_suppress(boxes, 0.5)])
            scale *= SCALE_STEP
        every: Floats = np.concatenate([np.empty((0, 5), dtype=np.float32), *found])
        return every[_suppress(every, 0.7)]


def _normalise(pixels: NDArray[np.uint8]) -> Floats:
    normal: Floats = (pixels.astype(np.float32) - np.float32(127.5)) / np.float32(128)
    return normal


def _read_proposals(moved: Floats, scores: Floats, scale: float) -> Floats:
    columns, rows = np.nonzero(scores >= FIRST)
    best = np.argsort(-scores[columns, rows])[:MAX_CANDIDATES]
    columns, rows = columns[best], rows[best]
    corners = np.stack([columns, rows], axis=1) * STRIDE_PX
    boxes = np.concatenate([(corners + 1) / scale, (corners + CELL_PX) / scale], axis=1).astype(np.float32)
    return _move(boxes, moved[columns, rows], scores[columns, rows])


def _move(boxes: Floats, moved: Floats, scores: Floats) -> Floats:
    """Correct the boxes as the network says, in shares of their sides."""
    sides = boxes[:, 2:4] - boxes[:, 0:2]
    corners = boxes[:, :4] + moved * np.concatenate([sides, sides], axis=1)
    return np.concatenate([corners, scores[:, None]], axis=1).astype(np.float32)


def _make_square(boxes: Floats) -> Floats:
    sides: Floats = boxes[:, 2:4] - boxes[:, 0:2]
    half: Floats = sides.max(axis=1, keepdims=True) / 2
    centres = (boxes[:, 0:2] + boxes[:, 2:4]) / 2
    squares: Floats = np.concatenate([centres - half, centres + half, boxes[:, 4:]], axis=1)
    return squares[half[:, 0] >= 1]


def _cut_out(image: Image.Image, boxes: Floats, side: int) -> Floats:
    """Return [n, side, side, 3] of the boxes' pixels; black beyond the picture's edge."""
    edges, size = boxes[:, :4].astype(int).tolist(), (side, side)
    pieces = [np.asarray(image.crop(tuple(box)).resize(size, Image.Resampling.BOX)) for box in edges]
    return np.ascontiguousarray(_normalise(np.stack(pieces)).transpose(0, 2, 1, 3))


def _suppress(boxes: Floats, max_overlap: float, *, of_smaller: bool = False) -> list[int]:
    """Choose boxes, the best first, none of which overlaps a better one by more than a share.

    of_smaller: of the smaller box's area; else of both boxes' together.
    """
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    left = np.argsort(-boxes[:, 4])
    kept: list[int] = []
    while len(left) and len(kept) < MAX_CANDIDATES:
        best, left = left[0], left[1:]
        kept.append(int(best))
        low = np.maximum(boxes[best, 0:2], boxes[left, 0:2])
        high = np.minimum(boxes[best, 2:4], boxes[left, 2:4])
        common = np.prod(np.maximum(high - low, 0), axis=1)
        whole = np.minimum(areas[best], areas[left]) if of_smaller else areas[best] + areas[left] - common
        left = left[common <= max_overlap * whole]
    return kept
