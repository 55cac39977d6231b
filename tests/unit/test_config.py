import pytest

from mezzotint.config import read_settings
from mezzotint.domain.errors import SettingInvalid


def test_flags_win_over_the_environment_and_the_environment_over_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEZZOTINT_PORT", "9000")
    monkeypatch.setenv("MEZZOTINT_CHECKPOINT_EVERY", "3")
    settings = read_settings(port=9100, host=None)
    assert (settings.port, settings.checkpoint_every, settings.host) == (9100, 3, "127.0.0.1")


@pytest.mark.parametrize(("name", "value"), [("port", 70000), ("device", "toaster"), ("checkpoint_every", 0)])
def test_a_wrong_value_is_named(name: str, value: object) -> None:
    with pytest.raises(SettingInvalid, match=name):
        read_settings(**{name: value})


def test_secrets_do_not_show_when_printed() -> None:
    assert "topsecret" not in repr(read_settings(token_secret="topsecret" * 4))
