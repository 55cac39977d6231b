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


@pytest.mark.parametrize("name", ["guard_key", "provenance_signer_token", "metrics_token", "token", "eval_judge_key"])
def test_a_secret_for_a_header_has_no_blanks_and_its_end_of_line_goes(name: str) -> None:
    assert getattr(read_settings(**{name: " s3cret~\n"}), name).get_secret_value() == "s3cret~"
    for wrong in ("top secret", "topsecrét", "top\nsecret"):
        with pytest.raises(SettingInvalid, match=name) as raised:
            read_settings(**{name: wrong})
        assert "secr" not in str(raised.value).replace("a secret", "")


def test_a_secret_that_cannot_be_used_is_not_shown() -> None:
    with pytest.raises(SettingInvalid, match="token_secret") as raised:
        read_settings(token_secret=["topsecret"])
    assert "topsecret" not in str(raised.value)


def test_secrets_do_not_show_when_printed() -> None:
    assert "topsecret" not in repr(read_settings(token_secret="topsecret" * 4))
