"""Embeddings (textual inversion): vectors for a word that a text encoder reads as if they were its own tokens'.

They become rows at the end of the encoder's table, so that they count in the hash of its weights; tokenizers stay as
they are, since `weighted_prompts.py` reads the texts that call them. Formats: diffusers (one tensor, named by its
word), AUTOMATIC1111 and kohya (`emb_params`; of XL `clip_l` and `clip_g`).
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mezzotint.domain.errors import EmbeddingInvalid, ModelCorrupt, ModelMissing
from mezzotint.engine.models.describe import find_text_encoders
from mezzotint.engine.models.files import max_prompt_tokens, text_encoder_of
from mezzotint.engine.models.integrity import check_finite, check_weights, read_header, read_json

MAX_BYTES = 16 << 20
MAX_VECTORS = 64
KEYS = {"text_encoder": "clip_l", "text_encoder_2": "clip_g"}
"""Names of the tensors in files for two encoders."""
EMBEDDINGS = "mezzotint_embeddings"
"""Attribute of a text encoder: word in lower case -> numbers of its vectors."""
LEGACY_EOS = 2
"""CLIP's old `eos_token_id`, with which a text's vector is that of its highest token: an added one would be higher."""


def check_embedding(path: Path, folder: Path, *, reads_values: bool) -> None:
    """Check that the file is an embedding whose vectors the model's text encoders can read. folder: the model's.

    Reads no tensor unless `reads_values`, and needs no torch. Raises: EmbeddingInvalid.
    """
    if path.suffix != ".safetensors":
        raise EmbeddingInvalid(f"{path} is not a safetensors file; a pickle may run code when it is read: convert it")
    try:
        check_weights(path)
        if (num_bytes := path.stat().st_size) > MAX_BYTES:
            raise EmbeddingInvalid(f"{path} has {num_bytes >> 20} MiB; an embedding has at most {MAX_BYTES >> 20}")
        header = read_header(path)
        if reads_values:
            check_finite(path)
    except (ModelMissing, ModelCorrupt) as error:
        raise EmbeddingInvalid(str(error)) from error
    parts = find_text_encoders(folder)
    if not parts:
        raise EmbeddingInvalid(f"{path} fits no {folder.name}: only encoders that weigh words read embeddings")
    package = text_encoder_of(folder)
    most = MAX_VECTORS if package is None else min(MAX_VECTORS, max_prompt_tokens(folder) - 2)
    for part in parts:
        shape = header[_find_tensor(header, part, len(parts), path)]["shape"]
        config = Path(package) / "config.json" if package else folder / part / "config.json"
        width = int(read_json(config, None)["hidden_size"])
        if not 1 <= len(shape) <= 2 or shape[-1] != width:
            told = f"{shape} in {part}, whose words have {width} numbers"
            raise EmbeddingInvalid(f"{path} does not fit {folder.name}: {told}")
        if len(shape) == 2 and not 1 <= shape[0] <= most:
            raise EmbeddingInvalid(f"{path} has {shape[0]} vectors; {most} is the most for {folder.name}")


def load_embeddings(pipeline: Any, embeddings: Iterable[tuple[str, Path]]) -> None:
    """Add the vectors to the pipeline's text encoders. embeddings: the word that calls each, and its checked file."""
    import torch
    from safetensors.torch import load_file

    found = [(token, path, load_file(path)) for token, path in embeddings]
    encoders = {part: encoder for part in KEYS if (encoder := getattr(pipeline, part, None)) is not None}
    for part, encoder in encoders.items() if found else ():
        table = encoder.get_input_embeddings()
        first, numbers, rows = table.num_embeddings, {}, []
        for token, path, tensors in found:
            vectors = tensors[_find_tensor(tensors, part, len(encoders), path)].reshape(-1, table.embedding_dim)
            numbers[token.lower()] = tuple(range(first, first + len(vectors)))
            first += len(vectors)
            rows.append(vectors)
        grown = torch.cat([table.weight.data, *(row.to(table.weight.device, table.weight.dtype) for row in rows)])
        table.weight = torch.nn.Parameter(grown, requires_grad=False)
        table.num_embeddings = encoder.config.vocab_size = len(grown)
        setattr(encoder, EMBEDDINGS, numbers)
        tokenizer = getattr(pipeline, part.replace("text_encoder", "tokenizer"))
        for module in encoder.modules():
            if getattr(module, "eos_token_id", None) == LEGACY_EOS:
                module.eos_token_id = tokenizer.eos_token_id


def _find_tensor(names: Any, part: str, num_parts: int, path: Path) -> str:
    if num_parts > 1:
        if KEYS[part] in names:
            return KEYS[part]
        raise EmbeddingInvalid(f"{path} has no {KEYS[part]}: it is not for a model of two text encoders")
    if len(names) == 1:
        return str(next(iter(names)))
    if "emb_params" in names:
        return "emb_params"
    if set(names) <= set(KEYS.values()):
        raise EmbeddingInvalid(f"{path} is for a model of two text encoders (clip_l and clip_g)")
    raise EmbeddingInvalid(f"{path} is no embedding: it holds {len(names)} tensors, none of them emb_params")
