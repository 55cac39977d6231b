"""From the models file to styles that are served: what is wrong stops the start, by name."""

from pathlib import Path

import pytest

from mezzotint.config import read_settings
from mezzotint.domain.errors import StyleInvalid
from mezzotint.domain.tier import Tier
from mezzotint.engine.models.catalog import ModelsInvalid
from mezzotint.engine.models.files import locate
from mezzotint.engine.models.structure import build_empty_pipeline
from mezzotint.main.drawing.served_styles import ServedStyle, find_styles, group_files
from mezzotint.main.served_models import find_models
from tests.styles import make_factors, write_style

MODELS = '[[models]]\nname = "a"\nsource = "starter"\n[[models]]\nname = "b"\nsource = "starter"\n'


def found(folder: Path, *entries: str, **more: object) -> tuple[ServedStyle, ...]:
    path = folder / "models.toml"
    path.write_text(MODELS + "".join(f"[[styles]]\n{entry}\n" for entry in entries))
    settings = read_settings(models=path, device="cpu", data=folder, **more)
    return find_styles(settings, find_models(settings))


def test_the_starter_comes_with_its_style(tmp_path: Path) -> None:
    settings = read_settings(device="cpu", data=tmp_path)
    (style,) = find_styles(settings, find_models(settings))
    assert (style.info.name, style.info.models, style.info.tiers) == ("woodcut", ("mezzotint-starter",), tuple(Tier))
    compiled = read_settings(device="cpu", data=tmp_path, compile=True, exact=False)
    assert find_styles(compiled, find_models(compiled)) == ()


def test_a_listed_style_has_all_that_its_entry_says(tmp_path: Path) -> None:
    ink = write_style(tmp_path / "ink.safetensors", make_factors(build_empty_pipeline(locate("starter")).unet), "kohya")
    listed, woodcut = found(
        tmp_path,
        f'name = "ink"\nsource = "{ink}"\nmodels = ["b"]\ndefault_weight = 0.5\ntrigger_words = ["ink wash"]\n'
        'adds_trigger_words = true\ntiers = ["pro"]\nabout = "Ink."\nlicense = "MIT"',
        'name = "cut"\nsource = "woodcut"',
    )
    info = listed.info
    assert (info.name, info.models, info.default_weight, info.tiers) == ("ink", ("b",), 0.5, (Tier.PRO,))
    assert (info.trigger_words, info.adds_trigger_words, info.license) == (("ink wash",), True, "MIT")
    assert len(info.sha256) == 64
    assert woodcut.info.models == ("a", "b")
    assert group_files([listed, woodcut]) == {"a": {"cut": woodcut.path}, "b": {"ink": ink, "cut": woodcut.path}}


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        (['name = "ink"\nsource = "woodcut"'] * 2, "lists the style 'ink' 2 times"),
        (['name = "ink"\nsource = "woodcut"\nmodels = ["c"]'], "unknown model 'c'"),
        (['name = "ink"\nsource = "woodcut"\nmodels = []'], "styles.1.models"),
        (['name = "a b"\nsource = "woodcut"'], "styles.1.name"),
        (['name = "a:b"\nsource = "woodcut"'], "styles.1.name"),
        (['name = "ink"\nsource = "woodcut"\ndefault_weight = 1e9'], "styles.1.default_weight"),
        (['name = "ink"\nsource = "woodcut"\ndefault_weight = nan'], "styles.1.default_weight"),
        (['name = "ink"\nsource = "woodcut"\ncolour = 1'], "styles.1.colour"),
        ([f'name = "ink"\nsource = "{"x" * 5000}"'], "ink.*cannot be read: File name too long"),
        (['name = "ink"\nsource = "woodcut"\ntiers = ["gold"]'], "styles.1.tiers"),
    ],
)
def test_a_wrong_entry_is_named(tmp_path: Path, entries: list[str], said: str) -> None:
    with pytest.raises((ModelsInvalid, StyleInvalid), match=said):
        found(tmp_path, *entries)


def test_a_file_that_does_not_fit_is_named_with_its_style(tmp_path: Path) -> None:
    good = make_factors(build_empty_pipeline(locate("starter")).unet)
    write_style(tmp_path / "cut.safetensors", {name: (down[:, :5], up) for name, (down, up) in good.items()})
    entry = f'name = "ink"\nsource = "{tmp_path / "cut.safetensors"}"'
    with pytest.raises(StyleInvalid, match=r"the style 'ink': .*does not fit starter"):
        found(tmp_path, entry)
    assert found(tmp_path, entry, worker=False), "a gateway alone looks at no layers"
    nan = {name: (down * float("nan"), up) for name, (down, up) in good.items()}
    write_style(tmp_path / "cut.safetensors", nan)
    with pytest.raises(StyleInvalid, match=r"the style 'ink': .*NaN"):
        found(tmp_path, entry)


def test_a_model_that_is_compiled_takes_no_styles(tmp_path: Path) -> None:
    with pytest.raises(ModelsInvalid, match="a is compiled"):
        found(tmp_path, 'name = "ink"\nsource = "woodcut"', compile=True, exact=False)
