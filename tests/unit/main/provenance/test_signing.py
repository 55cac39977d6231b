"""The settings that name a signer: each wrong mixture is refused at the start with its reason."""

from pathlib import Path

import pytest

from mezzotint.config import Settings
from mezzotint.domain.errors import DataFolderUnusable, SettingInvalid
from mezzotint.main.provenance.signing import ModelHashes, find_signer, own_authority, read_anchors
from mezzotint.provenance import Validity, read_credentials
from mezzotint.provenance.model_hash import hash_weights
from tests.unit.provenance.conftest import draw
from tests.unit.provenance.test_signing import MANIFEST


def test_a_development_authority_is_made_once_and_trusted_here(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path)
    assert find_signer(settings, makes_authority=False) is None
    assert not own_authority(settings).folder.exists()
    for _ in range(2):
        signer = find_signer(settings)
        assert signer is not None
        signed = signer.sign(draw("PNG"), MANIFEST)
        assert read_credentials(signed, read_anchors(settings)).validity is Validity.TRUSTED
    assert find_signer(settings, makes_authority=False) is not None


def test_certificates_of_the_settings_sign_and_no_authority_is_made(tmp_path: Path) -> None:
    find_signer(Settings(data=tmp_path))
    files = own_authority(Settings(data=tmp_path))
    other = Settings(
        data=tmp_path / "other",
        provenance_certificates=files.chain,
        provenance_key=files.key,
        provenance_anchors=files.root,
    )
    signer = find_signer(other)
    assert signer is not None
    assert read_credentials(signer.sign(draw("PNG"), MANIFEST), read_anchors(other)).validity is Validity.TRUSTED
    assert not (tmp_path / "other").exists()


def test_signing_can_be_switched_off(tmp_path: Path) -> None:
    assert find_signer(Settings(data=tmp_path, provenance=False)) is None
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_mixture_of_settings_is_refused(tmp_path: Path) -> None:
    find_signer(Settings(data=tmp_path))
    files = own_authority(Settings(data=tmp_path))
    nobody = "http://127.0.0.1:9/sign"
    for wrong, reason in [
        ({"provenance_key": files.key}, "need provenance_certificates"),
        ({"provenance_signer": nobody}, "need provenance_certificates"),
        ({"provenance_certificates": files.chain}, "needs one of"),
        (
            {"provenance_certificates": files.chain, "provenance_key": files.key, "provenance_signer": nobody},
            "needs one of",
        ),
        ({"provenance_certificates": files.chain, "provenance_key": files.root}, "no private key"),
        ({"provenance_certificates": files.chain, "provenance_signer": nobody}, "does not sign for"),
    ]:
        with pytest.raises(SettingInvalid, match=reason):
            find_signer(Settings(data=tmp_path, **wrong))  # type: ignore[arg-type]
    with pytest.raises(SettingInvalid, match="provenance_anchors"):
        read_anchors(Settings(data=tmp_path, provenance_anchors=tmp_path / "nowhere.pem"))
    (tmp_path / "file").write_text("")
    with pytest.raises(DataFolderUnusable):
        find_signer(Settings(data=tmp_path / "file"))


def test_a_models_hash_is_of_its_weights_and_found_once(tmp_path: Path) -> None:
    model = tmp_path / "model"
    (model / "unet").mkdir(parents=True)
    (model / "unet" / "weights.safetensors").write_bytes(b"weights")
    (model / "notes.txt").write_text("not weights")
    known: dict[str, str] = {}
    first = hash_weights(model, known)
    (model / "notes.txt").write_text("other notes")
    assert hash_weights(model, known) == first
    assert list(known.values()) == [first]
    (model / "unet" / "weights.safetensors").write_bytes(b"others!!")
    assert hash_weights(model, known) != first
    file = model / "unet" / "weights.safetensors"
    places = {"a": [model], "file": [file], "gone": [tmp_path / "gone"], "b": [model, file]}
    hashes = ModelHashes(places=places, known={})
    assert hashes.hash_model("a") == hash_weights(model, {})
    assert hashes.hash_model("b") not in {hashes.hash_model("a"), hashes.hash_model("file")}, "another autoencoder"
    assert hashes.hash_model("file") != hashes.hash_model("a")
    assert hashes.hash_model("not served") is None
