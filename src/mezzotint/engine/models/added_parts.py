"""Parts that the list of models gives a model beside its own files."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class AddedParts:
    """vae: file or folder of the autoencoder in place of its own. embeddings: the word that calls each, its file."""

    vae: Path | None = None
    embeddings: tuple[tuple[str, Path], ...] = ()

    @property
    def files(self) -> list[Path]:
        """Their weights."""
        own = [] if self.vae is None else [self.vae] if self.vae.is_file() else sorted(self.vae.glob("*.safetensors"))
        return own + [path for _, path in self.embeddings]
