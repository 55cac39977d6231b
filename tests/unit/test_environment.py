"""The environment that processes set for their libraries."""

from pathlib import Path

import pytest

from mezzotint.config import Settings
from mezzotint.environment import set_ray_environment
from mezzotint.main.data_folder import make_ray_token
from mezzotint.main.fleet.fleet_file import WORKER_SETTINGS


def test_a_local_ray_wants_a_token_that_its_owner_alone_can_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = {"RAY_AUTH_TOKEN": "another"}
    monkeypatch.setattr("os.environ", environment)
    file = make_ray_token(tmp_path)
    token = file.read_text()
    assert (file.stat().st_mode & 0o777, len(token)) == (0o600, 64)
    set_ray_environment(is_loopback=True, token_file=make_ray_token(tmp_path))
    assert file.read_text() == token, "the next command finds it again"
    assert (environment["RAY_AUTH_MODE"], environment["RAY_AUTH_TOKEN_PATH"]) == ("token", str(file))
    assert "RAY_AUTH_TOKEN" not in environment, "it would come first"
    assert environment["RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S"] == "0", "it ends at once"


def test_a_choice_of_ray_that_was_made_outside_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for chosen in ({"RAY_AUTH_MODE": "disabled"}, {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "theirs"}):
        environment = dict(chosen)
        monkeypatch.setattr("os.environ", environment)
        set_ray_environment(is_loopback=False, token_file=tmp_path / "ray-token")
        assert environment.items() >= chosen.items()
        assert "RAY_AUTH_TOKEN_PATH" not in environment


def test_no_secret_can_stand_among_the_settings_of_a_pool() -> None:
    """They are kept in the database, and `fleet check` prints the file's faults."""
    assert [name for name in WORKER_SETTINGS if "Secret" in str(Settings.model_fields[name].annotation)] == []
