import os
import stat
from pathlib import Path

import pytest

from mezzotint.config import read_settings
from mezzotint.domain.errors import DataFolderBusy, DataFolderUnusable, SettingInvalid
from mezzotint.main.data import check_tenant, locked, secret_of


def test_the_secret_is_made_once_and_is_its_owners_alone(tmp_path: Path) -> None:
    settings = read_settings(data=tmp_path / "data")
    secret = secret_of(settings)
    assert len(secret) >= 32
    assert secret_of(settings) == secret
    assert stat.S_IMODE((settings.data / "secret").stat().st_mode) == 0o600
    assert os.listdir(settings.data) == ["secret"]


def test_a_short_secret_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingInvalid, match="token_secret"):
        secret_of(read_settings(data=tmp_path, token_secret="short"))
    (tmp_path / "secret").write_text("cut")
    with pytest.raises(DataFolderUnusable, match="damaged"):
        secret_of(read_settings(data=tmp_path))


def test_a_folder_serves_one_server_at_a_time(tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(DataFolderBusy), locked(tmp_path):
        pass
    with locked(tmp_path):
        pass


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(DataFolderUnusable, match="data"), locked(tmp_path / "data"):
        pass


@pytest.mark.parametrize("name", ["", "a b", "../x", "x" * 65, "é", ".x", "a\n"])
def test_tenant_names_are_plain(name: str) -> None:
    with pytest.raises(SettingInvalid):
        check_tenant(name)
