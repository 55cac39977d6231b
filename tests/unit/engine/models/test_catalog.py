"""The list of models: what is right is read, what is wrong is named."""

from pathlib import Path

import pytest

from mezzotint.engine.models.catalog import Dtype, ModelsInvalid, Offload, read_catalog


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "models.toml"
    path.write_text(text)
    return path


def test_every_key_is_read_and_the_order_is_kept(tmp_path: Path) -> None:
    big, small = read_catalog(
        written(
            tmp_path,
            """
            [[models]]
            name = "big"
            source = "owner/name"
            revision = "0123abc"
            dtype = "bfloat16"
            compile = true
            offload = "model"
            warm = true
            [models.quantization]
            backend = "quanto"
            options = { weights_dtype = "int8" }
            components = ["transformer"]

            [[models]]
            name = "small"
            source = "starter"
            """,
        )
    )
    assert (big.name, big.revision, big.dtype, big.compile) == ("big", "0123abc", Dtype.BFLOAT16, True)
    assert (big.offload, big.warm) == (Offload.MODEL, True)
    assert big.quantization is not None
    assert big.quantization.options == {"weights_dtype": "int8"}
    assert (small.dtype, small.compile, small.quantization, small.warm) == (Dtype.AUTO, None, None, False)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "models: Field required"),
        ("models = []", "at least 1 item"),
        ("[[models]]\nname = 'a'", r"models.1.source: Field required"),
        ("[[models]]\nname = 'a'\nsource = 'starter'\ncolour = 1", r"models.1.colour"),
        ("[[models]]\nname = 'a b'\nsource = 'starter'", r"models.1.name"),
        ("[[models]]\nname = 'a'\nsource = 'starter'\ndtype = 'int4'", r"models.1.dtype"),
        ("[[models]]\nname = 'a'\nsource = 'starter'\n" * 2, "lists 'a' 2 times"),
        ("[[models]", "not TOML"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ModelsInvalid, match=said):
        read_catalog(written(tmp_path, text))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelsInvalid, match=r"no\.toml"):
        read_catalog(tmp_path / "no.toml")
