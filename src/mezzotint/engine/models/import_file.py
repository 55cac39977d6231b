"""Write a model of one file as a diffusers folder: beside its place, compared, and renamed when it is whole."""

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mezzotint.domain.errors import ModelCorrupt, OutputUnwritable
from mezzotint.engine.models import files, structure
from mezzotint.engine.models.catalog import Dtype, ModelEntry
from mezzotint.engine.models.integrity import SUMS
from mezzotint.engine.models.load import load_pipeline


def import_file(checkpoint: Path, like: Path, out: Path, say: Callable[[str], None]) -> None:
    """checkpoint, like: have passed `files.check_model` and `structure.check_structure`. say: hears how far it is.

    The folder has the dtype of the file, or float32 where its parts have several; and `SHA256SUMS`.
    Raises: OutputUnwritable, ModelMissing, ModelCorrupt.
    """
    from mezzotint.engine.models.dtypes import stored_dtype

    if os.path.lexists(out):
        raise OutputUnwritable(f"{out} is there already")
    aside = out.parent / f".{out.name}.{os.getpid()}.partial"
    try:
        aside.mkdir()
    except OSError as error:
        raise OutputUnwritable(f"{out} cannot be written: {error.strerror}") from error
    dtype = Dtype(str(stored_dtype([checkpoint]) or "float32").removeprefix("torch."))
    entry = ModelEntry(name="import", source=str(checkpoint), dtype=dtype)
    try:
        told = [-10]

        def tell(share: float) -> None:
            percent = int(100 * share) // 10 * 10
            if percent > told[0]:
                told[0] = percent
                say(f"read {percent} %")

        pipeline: Any = load_pipeline(like, "cpu", entry, tell, checkpoint)
        say(f"write {sum(1 for part in pipeline.components.values() if part is not None)} parts as {dtype.value}")
        pipeline.save_pretrained(aside, safe_serialization=True)
        say("compare")
        files.check_model(aside)
        structure.check_structure(aside)
        _compare(pipeline, load_pipeline(aside, "cpu", entry))
        sums = [f"{_hash(path)}  {path.relative_to(aside)}\n" for path in sorted(aside.rglob("*.safetensors"))]
        (aside / SUMS).write_text("".join(sums))
        os.rename(aside, out)
    except OSError as error:
        raise OutputUnwritable(f"{out} cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    say(f"{out}: {files.num_bytes(out) / 1e6:.0f} MB, checked; serve it with --model {out}")


def _compare(one: Any, other: Any) -> None:
    """Raises: ModelCorrupt: a part of the written pipeline is not what was read."""
    import torch

    for name, part in one.components.items():
        if isinstance(part, torch.nn.Module):
            again = other.components[name].state_dict()
            for tensor, value in part.state_dict().items():
                if not torch.equal(value, again[tensor]):
                    raise ModelCorrupt(f"{name} was not written as it was read, in {tensor}: look at the disk")


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
