"""One development authority for the whole folder, and pictures to sign."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mezzotint.provenance import Identity, PictureSigner
from mezzotint.provenance.authority import AuthorityFiles, make_authority

FORMATS = ("PNG", "JPEG", "WEBP", "AVIF")


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> AuthorityFiles:
    folder = tmp_path_factory.mktemp("own") / "provenance"
    make_authority(folder)
    return AuthorityFiles(folder)


@pytest.fixture(scope="session")
def signer(authority: AuthorityFiles) -> PictureSigner:
    return PictureSigner(Identity.from_files(authority.chain, authority.key))


@pytest.fixture(scope="session")
def root(authority: AuthorityFiles) -> str:
    return authority.root.read_text()


def draw(form: str, size: int = 64) -> bytes:
    pixels = np.random.default_rng(7).integers(0, 255, (size, size, 3), np.uint8)
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, form)
    return buffer.getvalue()


def write(folder: Path, name: str, text: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path
