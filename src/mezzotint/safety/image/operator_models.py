"""An operator's own models: any image classifier of transformers, or a CLIP model that is told the classes in words."""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from PIL import Image

from mezzotint.domain.errors import ModelCorrupt, ModelMissing
from mezzotint.policy.safety.image_classifiers import HARMLESS


class TransformersClassifier:
    """A classifier whose labels are given classes; a class has the sum of its labels' probabilities."""

    def __init__(self, name: str, path: Path, labels: Mapping[str, str]) -> None:
        """path: a folder as `save_pretrained` writes it. labels: the class by label; other labels count for none.

        Raises: ModelMissing, ModelCorrupt.
        """
        from transformers import AutoImageProcessor, AutoModelForImageClassification

        self.name, self.classes = name, tuple(sorted(set(labels.values())))
        self._processor = _load(AutoImageProcessor, path)
        self._model = _load(AutoModelForImageClassification, path).eval()
        self.version = _describe(path)
        self._labels = {int(at): labels[label] for at, label in self._model.config.id2label.items() if label in labels}
        missing = set(labels) - set(self._model.config.id2label.values())
        if missing:
            raise ModelCorrupt(f"the model at {path} has no label {', '.join(sorted(missing))}")
        self._is_multi = self._model.config.problem_type == "multi_label_classification"

    def score(self, image: Image.Image) -> dict[str, float]:
        import torch

        with torch.inference_mode():
            logits = self._model(**self._processor(images=image, return_tensors="pt")).logits[0].float()
        probabilities = (logits.sigmoid() if self._is_multi else logits.softmax(-1)).tolist()
        return _sum_by_class(self.classes, self._labels, probabilities, most_likely=self._is_multi)


class ClipClassifier:
    """A CLIP or SigLIP model: a class has the share of the picture's likeness that its descriptions have."""

    def __init__(self, name: str, path: Path, prompts: Mapping[str, Sequence[str]]) -> None:
        """path: a folder as `save_pretrained` writes it. prompts: descriptions by class, and of harmless pictures.

        Raises: ModelMissing, ModelCorrupt.
        """
        import torch
        from transformers import AutoModel, AutoProcessor

        self.name, self.classes = name, tuple(sorted(name for name in prompts if name != HARMLESS))
        self._processor = _load(AutoProcessor, path)
        self._model = _load(AutoModel, path).eval()
        self.version = _describe(path, repr(sorted(prompts.items())))
        pairs = [(of_class, text) for of_class, texts in prompts.items() for text in texts]
        self._labels = {at: of_class for at, (of_class, _) in enumerate(pairs) if of_class != HARMLESS}
        with torch.inference_mode():
            self._texts = self._processor(text=[text for _, text in pairs], padding=True, return_tensors="pt")

    def score(self, image: Image.Image) -> dict[str, float]:
        import torch

        pixels = self._processor(images=image, return_tensors="pt")
        with torch.inference_mode():
            logits = self._model(**self._texts, pixel_values=pixels["pixel_values"]).logits_per_image[0].float()
        return _sum_by_class(self.classes, self._labels, logits.softmax(-1).tolist(), most_likely=False)


def _sum_by_class(
    classes: Sequence[str], labels: Mapping[int, str], probabilities: Sequence[float], *, most_likely: bool
) -> dict[str, float]:
    """Sum the probabilities of a class's labels; most_likely: take the highest instead."""
    of_class = {name: [probabilities[at] for at, label in labels.items() if label == name] for name in classes}
    return {name: max(found) if most_likely else min(sum(found), 1.0) for name, found in of_class.items()}


def _load(kind: Any, path: Path) -> Any:
    if not (path / "config.json").is_file():
        raise ModelMissing(f"there is no classifier at {path}: a folder with a config.json is wanted")
    try:
        return kind.from_pretrained(path, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise ModelCorrupt(f"the classifier at {path} cannot be loaded: {error}") from error


def _describe(path: Path, more: str = "") -> str:
    """A name of the weights: of their files' names, sizes and the configuration, without reading them whole."""
    listed = sorted((file.name, file.stat().st_size) for file in path.iterdir() if file.is_file())
    return sha256(f"{listed}{(path / 'config.json').read_text()}{more}".encode()).hexdigest()[:12]
