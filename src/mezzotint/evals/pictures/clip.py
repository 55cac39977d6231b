"""Score pictures by a CLIP or SigLIP model of the operator's, and by a linear head over it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mezzotint.domain.errors import ModelMissing, ModelUnsupported
from mezzotint.evals.pictures.drawn import DrawnPicture

MAX_HEAD_BYTES = 64 << 20


class ClipScorer:
    """A model that transformers loads with features of pictures and of texts: CLIP, SigLIP, PickScore and the like."""

    def __init__(self, source: str, device: str = "cpu") -> None:
        """source: a folder or a hub id. Raises: ModelMissing, ModelUnsupported."""
        from transformers import AutoModel, AutoProcessor

        try:
            self._model: Any = AutoModel.from_pretrained(source).to(device).eval()
            self._processor: Any = AutoProcessor.from_pretrained(source)
        except (OSError, ValueError) as error:
            raise ModelMissing(f"{source} cannot be loaded as a CLIP or SigLIP model: {error}") from error
        if not hasattr(self._model, "get_image_features") or not hasattr(self._model, "get_text_features"):
            raise ModelUnsupported(f"{source} gives no features of pictures and texts: it is no CLIP and no SigLIP")
        self._device = device

    def score(self, picture: DrawnPicture) -> float:
        """The cosine of the picture and its prompt, -1 to 1."""
        return float(self.embed_picture(picture) @ self._embed_text(picture.prompt))

    @torch.inference_mode()
    def embed_picture(self, picture: DrawnPicture) -> Tensor:
        """[features], of length 1."""
        pixels = self._processor(images=picture.picture, return_tensors="pt").to(self._device)
        return _to_unit(self._model.get_image_features(**pixels))

    @torch.inference_mode()
    def _embed_text(self, text: str) -> Tensor:
        """The processor pads to the model's full length: SigLIP was trained that way, and a CLIP's mask ignores it."""
        tokens = self._processor(text=[text], padding="max_length", truncation=True, return_tensors="pt")
        return _to_unit(self._model.get_text_features(**tokens.to(self._device)))


def _to_unit(features: Any) -> Tensor:
    """[1, features], or an output that holds them, -> [features] of length 1."""
    found: Tensor = features if isinstance(features, Tensor) else features.pooler_output
    return torch.nn.functional.normalize(found.float(), dim=-1)[0].cpu()


def load_linear_head(path: Path, clip: ClipScorer) -> Callable[[DrawnPicture], float]:
    """A linear head over the features of a picture, such as LAION's aesthetic predictor of that CLIP.

    path: a state dict with `weight` [1, features] and `bias` [1], .safetensors or .pth.

    Raises: ModelMissing, ModelUnsupported.
    """
    state = _read_state(path)
    weight, bias = state.get("weight"), state.get("bias")
    if weight is None or bias is None or weight.ndim != 2 or weight.shape[0] != 1:
        raise ModelUnsupported(f"{path} is no linear head: it needs `weight` [1, features] and `bias` [1]")

    def score(picture: DrawnPicture) -> float:
        features = clip.embed_picture(picture)
        if features.shape[0] != weight.shape[1]:
            raise ModelUnsupported(
                f"{path} was trained on {weight.shape[1]} features; this CLIP gives {features.shape[0]}"
            )
        return float(features @ weight[0].float() + bias.float().item())

    return score


def _read_state(path: Path) -> dict[str, Tensor]:
    try:
        if path.stat().st_size > MAX_HEAD_BYTES:
            raise ModelUnsupported(f"{path} is larger than a linear head can be")
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
        return state
    except OSError as error:
        raise ModelMissing(f"{path} cannot be read: {error}") from error
    except ModelUnsupported:
        raise
    except Exception as error:  # torch and safetensors raise what they please for a file that is none
        raise ModelUnsupported(f"{path} holds no weights: {error}") from error
