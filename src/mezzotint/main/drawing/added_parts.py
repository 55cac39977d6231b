"""The autoencoder and the embeddings that the list of models gives a model: found, and checked against it."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mezzotint.domain.drawing.named_weights import NamedWeights
from mezzotint.domain.errors import EmbeddingInvalid
from mezzotint.domain.ids import Sha256
from mezzotint.domain.model import ModelInfo
from mezzotint.engine.models.added_parts import AddedParts
from mezzotint.engine.models.catalog import EmbeddingEntry, ModelEntry, ModelsInvalid
from mezzotint.engine.models.replaced_vae import check_vae, locate_vae
from mezzotint.engine.models.textual_inversion import check_embedding
from mezzotint.provenance.model_hash import hash_weights


def find_added_parts(
    entry: ModelEntry, embeddings: Sequence[EmbeddingEntry], folder: Path, *, with_torch: bool
) -> AddedParts:
    """with_torch: look at every tensor. Raises: ModelsInvalid, ModelMissing, ModelCorrupt, EmbeddingInvalid."""
    vae = None if entry.vae is None else locate_vae(entry.vae)
    if vae is not None:
        if entry.quantization is not None:
            raise ModelsInvalid(f"models: {entry.name}: a quantised model keeps its own autoencoder: leave `vae` out")
        check_vae(vae, folder, with_torch=with_torch)
    fitting = [one for one in embeddings if one.models is None or entry.name in one.models]
    paths = [(one.token, Path(one.source).expanduser()) for one in fitting]
    for token, path in paths:
        try:
            check_embedding(path, folder, reads_values=with_torch)
        except EmbeddingInvalid as error:
            raise EmbeddingInvalid(f"the embedding {token!r}: {error}") from error
    return AddedParts(vae=vae, embeddings=tuple(paths))


def describe_added_parts(info: ModelInfo, added: AddedParts) -> ModelInfo:
    """The model with the names and hashes of what it was given."""
    vae = None if added.vae is None else NamedWeights(name=added.vae.stem, sha256=_hash(added.vae))
    embeddings = tuple(NamedWeights(name=token, sha256=_hash(path)) for token, path in added.embeddings)
    return replace(info, vae=vae, embeddings=embeddings)


def _hash(path: Path) -> Sha256:
    return Sha256(hash_weights(path, {}))
