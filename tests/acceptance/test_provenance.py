"""Every file that a server delivers is signed for its job, and `mezzotint provenance verify` says so."""

import subprocess
from base64 import b64decode
from pathlib import Path
from typing import Any

import httpx
import pytest

from mezzotint import __version__
from mezzotint.provenance import ContentCredentials, Validity, read_credentials
from tests.acceptance.conftest import MEZZOTINT, Server, finished


def read(server: Server, file: bytes) -> ContentCredentials:
    """As a stranger reads it, who has the server's root alone."""
    return read_credentials(file, (server.data / "provenance" / "root.pem").read_text())


@pytest.fixture(scope="module")
def apple(server: Server) -> dict[str, Any]:
    with server.client("provenance") as client:
        return finished(client, client.post("/v1/jobs", json={"prompt": "a red apple --seed 7 --steps 4"}).json())


def test_both_stored_files_are_trusted_and_name_the_job(server: Server, apple: dict[str, Any]) -> None:
    for address in (apple["images"][0]["url"], apple["images"][0]["png_url"]):
        found = read(server, httpx.get(server.url + address).content)
        assert (found.validity, found.problems) == (Validity.TRUSTED, ())
        assert (found.job, found.model, found.actions) == (apple["id"], apple["model"], ("c2pa.created",))
        assert len(found.model_sha256 or "") == 64
        assert found.software == f"Mezzotint {__version__}"
        assert found.recipe is None


@pytest.mark.parametrize(("form", "quality"), [("png", None), ("webp", None), ("webp", 60), ("jpeg", 75)])
def test_every_format_of_openais_api_is_trusted(server: Server, form: str, quality: int | None) -> None:
    body = {"prompt": "a red apple --seed 7 --steps 4", "output_format": form, "response_format": "b64_json"}
    if quality is not None:
        body["output_compression"] = quality  # type: ignore[assignment]
    with server.client("provenance") as client:
        answer = client.post("/v1/images/generations", json=body).json()
    found = read(server, b64decode(answer["data"][0]["b64_json"]))
    assert (found.validity, found.problems) == (Validity.TRUSTED, ())
    assert found.job is not None


def test_pictures_of_the_automatic1111_api_are_trusted_with_their_text_and_their_size(server: Server) -> None:
    with server.client("provenance") as client:
        body = {"prompt": "a red apple --seed 7", "steps": 4}
        (png,) = client.post("/sdapi/v1/txt2img", json=body).json()["images"]
        larger = {"image": png, "upscaling_resize": 3, "upscaler_1": "mezzotint-upscaler"}
        large = client.post("/sdapi/v1/extra-single-image", json=larger).json()["image"]
        text = client.post("/sdapi/v1/png-info", json={"image": png}).json()["info"]
    assert "Steps: 4" in text
    for file, kind in ((png, "trainedAlgorithmicMedia"), (large, "algorithmicallyEnhanced")):
        found = read(server, b64decode(file))
        assert (found.validity, found.problems) == (Validity.TRUSTED, ())
        assert (found.digital_source, found.actions[-1]) == (kind, "c2pa.transcoded")


def test_the_command_verifies_a_download_and_finds_a_flipped_bit(
    server: Server, apple: dict[str, Any], tmp_path: Path
) -> None:
    file = tmp_path / "apple.png"
    file.write_bytes(httpx.get(server.url + apple["images"][0]["png_url"]).content)
    root = str(server.data / "provenance" / "root.pem")

    def verify(*flags: str) -> tuple[int, str]:
        command = [MEZZOTINT, "provenance", "verify", str(file), "--data", str(tmp_path / "nothing"), *flags]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        return done.returncode, done.stdout

    code, told = verify("--anchors", root)
    assert code == 0
    assert "valid and trusted" in told
    assert apple["id"] in told
    code, told = verify()
    assert (code, "nobody trusted" in told) == (7, True)
    content = bytearray(file.read_bytes())
    content[-200] ^= 1
    file.write_bytes(content)
    code, told = verify("--anchors", root)
    assert (code, "INVALID" in told) == (7, True)
    assert not (tmp_path / "nothing").exists()
