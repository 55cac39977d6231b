"""A signed file holds and is trusted in every format, tells its origin, and holds no more after one flipped bit."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from io import BytesIO

import pytest
from PIL import Image

from mezzotint import __version__
from mezzotint.domain.errors import SigningFailed
from mezzotint.domain.ids import Sha256
from mezzotint.domain.task import Task
from mezzotint.media import convert_picture
from mezzotint.media.metadata.png_text import add_text, read_texts
from mezzotint.provenance import Identity, NoPicture, PictureSigner, Validity, read_credentials
from mezzotint.provenance.authority import AuthorityFiles, make_authority
from mezzotint.provenance.manifest import GENERATION, Model, describe_job
from tests.making import NOW, make_job
from tests.unit.provenance.conftest import FORMATS, draw

MODEL = Model(name="mezzotint-starter", sha256="ab" * 32)
JOB = make_job(id="job_1")
MANIFEST = describe_job(JOB, MODEL, NOW, shows_prompt=False)


def flip(data: bytes, form: str) -> bytes:
    """One bit of the coded pixels, which lie at the end of all four formats before any trailer."""
    place = len(data) - {"PNG": 200, "JPEG": 200, "WEBP": 0, "AVIF": 200}[form]
    if form == "WEBP":  # its manifest is the last chunk
        place = data.index(b"C2PA") - 200
    changed = bytearray(data)
    changed[place] ^= 1
    return bytes(changed)


@pytest.mark.parametrize("form", FORMATS)
def test_a_signed_file_is_valid_and_trusted_and_its_pixels_are_the_same(
    signer: PictureSigner, root: str, form: str
) -> None:
    file = draw(form)
    signed = signer.sign(file, MANIFEST)
    found = read_credentials(signed, root)
    assert (found.validity, found.problems) == (Validity.TRUSTED, ())
    with Image.open(BytesIO(signed)) as after, Image.open(BytesIO(file)) as before:
        assert after.format == form
        assert after.tobytes() == before.tobytes()
    assert len(signed) - len(file) < 16_000


@pytest.mark.parametrize("form", FORMATS)
def test_one_flipped_bit_of_the_pixels_makes_it_invalid(signer: PictureSigner, root: str, form: str) -> None:
    found = read_credentials(flip(signer.sign(draw(form), MANIFEST), form), root)
    assert found.validity is Validity.INVALID
    assert found.problems


def test_the_manifest_tells_job_model_and_software_but_no_prompt(signer: PictureSigner, root: str) -> None:
    signed = signer.sign(draw("PNG"), MANIFEST)
    found = read_credentials(signed, root)
    assert (found.job, found.model, found.model_sha256) == ("job_1", "mezzotint-starter", "ab" * 32)
    assert (found.software, found.made_at) == (f"Mezzotint {__version__}", "2026-01-02T03:04:05Z")
    assert (found.actions, found.digital_source) == (("c2pa.created",), "trainedAlgorithmicMedia")
    assert found.recipe is None
    assert b"red apple" not in signed
    assert found.signer is not None


def test_a_tenant_that_wishes_it_shows_the_recipe(signer: PictureSigner) -> None:
    signed = signer.sign(draw("PNG"), describe_job(JOB, MODEL, NOW, shows_prompt=True))
    recipe = read_credentials(signed).recipe or {}
    assert (recipe["prompt"], recipe["seed"], recipe["steps"]) == ("a red apple", 7, 30)


@pytest.mark.parametrize(
    ("task", "action", "kind"),
    [
        (Task.VARIATION, "c2pa.edited", "compositeWithTrainedAlgorithmicMedia"),
        (Task.INPAINT, "c2pa.edited", "compositeWithTrainedAlgorithmicMedia"),
        (Task.OUTPAINT, "c2pa.edited", "compositeWithTrainedAlgorithmicMedia"),
        (Task.UPSCALE, "c2pa.resized", "algorithmicallyEnhanced"),
    ],
)
def test_an_edit_names_its_source(signer: PictureSigner, root: str, task: Task, action: str, kind: str) -> None:
    job = replace(JOB, parameters=replace(JOB.parameters, task=task, source=Sha256("cd" * 32)))
    signed = signer.sign(draw("PNG"), describe_job(job, MODEL, NOW, shows_prompt=False))
    found = read_credentials(signed, root)
    assert (found.validity, found.problems) == (Validity.TRUSTED, ())
    assert (found.actions, found.digital_source, found.source_sha256) == (("c2pa.opened", action), kind, "cd" * 32)


def test_every_task_has_an_action() -> None:
    for task in Task:
        job = replace(JOB, parameters=replace(JOB.parameters, task=task))
        assert describe_job(job, MODEL, NOW, shows_prompt=False)["assertions"]


def test_a_variant_in_another_format_is_signed_anew_and_keeps_the_origin(signer: PictureSigner, root: str) -> None:
    job = replace(JOB, parameters=replace(JOB.parameters, task=Task.INPAINT, source=Sha256("cd" * 32)))
    png = signer.sign(draw("PNG"), describe_job(job, MODEL, NOW, shows_prompt=False))
    jpeg = signer.sign_variant(convert_picture(png, "jpeg", 80, (32, 32)), png, NOW)
    found = read_credentials(jpeg, root)
    assert (found.validity, found.problems) == (Validity.TRUSTED, ())
    assert found.actions == ("c2pa.opened", "c2pa.edited", "c2pa.transcoded")
    assert (found.job, found.source_sha256) == ("job_1", "cd" * 32)


def test_a_text_added_to_a_signed_png_breaks_it_until_it_is_signed_anew(signer: PictureSigner, root: str) -> None:
    png = signer.sign(draw("PNG"), MANIFEST)
    laden = add_text(png, "parameters", "a red apple, Steps: 30")
    assert read_credentials(laden, root).validity is Validity.INVALID
    again = signer.sign_variant(laden, png, NOW)
    assert read_credentials(again, root).validity is Validity.TRUSTED
    assert read_texts(again)["parameters"] == "a red apple, Steps: 30"
    assert again.count(b"caBX") == 1, "the old manifest is gone"


def test_a_variant_of_an_unsigned_picture_stays_unsigned(signer: PictureSigner) -> None:
    jpeg = draw("JPEG")
    assert signer.sign_variant(jpeg, draw("PNG"), NOW) == jpeg
    assert read_credentials(jpeg).validity is Validity.ABSENT


def test_without_its_root_a_signer_is_valid_but_not_trusted(
    signer: PictureSigner, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("other") / "provenance"
    make_authority(folder)
    signed = signer.sign(draw("PNG"), MANIFEST)
    for anchors in ("", AuthorityFiles(folder).root.read_text()):
        found = read_credentials(signed, anchors)
        assert (found.validity, found.problems) == (Validity.VALID, ())


@pytest.mark.parametrize("odd", ["text", 7, None, [1], {"name": 5, "sha256": []}], ids=str)
def test_a_strangers_manifest_may_have_any_form(signer: PictureSigner, root: str, odd: object) -> None:
    facts = dict.fromkeys(("job", "model", "source", "styles", "recipe"), odd)
    for data in (facts, odd):
        assertions = [MANIFEST["assertions"][0], {"label": GENERATION, "data": data}]
        signed = signer.sign(draw("PNG"), {**MANIFEST, "assertions": assertions})
        found = read_credentials(signed, root)
        assert (found.validity, found.model, found.source_sha256) == (Validity.TRUSTED, None, None)
        assert found.actions == ("c2pa.created",)


def test_a_signature_by_another_key_under_the_same_chain_is_invalid(
    authority: AuthorityFiles, root: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("forger") / "provenance"
    make_authority(folder)
    forger = AuthorityFiles(folder)
    forged = Identity(
        chain=authority.chain.read_text(),
        algorithm=Identity.from_files(forger.chain, forger.key).algorithm,
        sign=Identity.from_files(forger.chain, forger.key).sign,
    )
    signed = PictureSigner(forged).sign(draw("PNG"), MANIFEST)
    assert read_credentials(signed, root).validity is Validity.INVALID


def test_threads_may_sign_at_once(signer: PictureSigner, root: str) -> None:
    file = draw("WEBP")
    with ThreadPoolExecutor(4) as pool:
        signed = list(pool.map(lambda _: signer.sign(file, MANIFEST), range(16)))
    assert {read_credentials(one, root).validity for one in signed} == {Validity.TRUSTED}


def test_what_is_no_picture_is_refused(signer: PictureSigner) -> None:
    with pytest.raises(NoPicture):
        read_credentials(b"no picture")
    with pytest.raises(SigningFailed):
        signer.sign(b"\x89PNG\r\n\x1a\n cut off", MANIFEST)


def test_a_damaged_manifest_is_reported_and_not_raised(signer: PictureSigner, root: str) -> None:
    signed = signer.sign(draw("PNG"), MANIFEST)
    start = signed.index(b"caBX")
    for place in range(start + 8, start + 2000, 97):
        changed = bytearray(signed)
        changed[place] ^= 0xFF
        assert read_credentials(bytes(changed), root).validity in {Validity.INVALID, Validity.ABSENT}
