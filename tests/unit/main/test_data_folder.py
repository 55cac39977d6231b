import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mezzotint.config import read_settings
from mezzotint.domain.errors import ArgumentInvalid, DatabaseMissing, DataFolderBusy, DataFolderUnusable, SettingInvalid
from mezzotint.main.data_folder import check_tenant_name, load_secret, lock_data_folder, prepare_data_folder


def test_the_secret_is_made_once_and_is_its_owners_alone(tmp_path: Path) -> None:
    settings = read_settings(data=tmp_path / "data")
    secret = load_secret(settings)
    assert len(secret) >= 32
    assert load_secret(settings) == secret
    assert stat.S_IMODE((settings.data / "secret").stat().st_mode) == 0o600
    assert os.listdir(settings.data) == ["secret"]


def test_a_short_secret_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingInvalid, match="token_secret"):
        load_secret(read_settings(data=tmp_path, token_secret="short"))


def test_a_command_makes_no_secret_that_no_server_knows(tmp_path: Path) -> None:
    with pytest.raises(DatabaseMissing, match=str(tmp_path)):
        load_secret(read_settings(data=tmp_path / "typo"), make=False)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "secret").write_text("cut")
    with pytest.raises(DataFolderUnusable, match="damaged"):
        load_secret(read_settings(data=tmp_path))


def test_a_folder_serves_one_server_at_a_time(tmp_path: Path) -> None:
    with lock_data_folder(tmp_path), pytest.raises(DataFolderBusy), lock_data_folder(tmp_path):
        pass
    with lock_data_folder(tmp_path):
        pass


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(DataFolderUnusable, match="data"), lock_data_folder(tmp_path / "data"):
        pass


@pytest.mark.parametrize("name", ["", "a b", "../x", "x" * 65, "é", ".x", "a\n"])
def test_tenant_names_are_plain(name: str) -> None:
    with pytest.raises(ArgumentInvalid):
        check_tenant_name(name)


@pytest.fixture
def umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def modes(folder: Path) -> dict[str, int]:
    """Of the folder (".") and of all that it holds."""
    found = [folder, *folder.rglob("*")]
    return {str(path.relative_to(folder)): stat.S_IMODE(path.lstat().st_mode) for path in found}


@pytest.mark.usefixtures("umask")
def test_an_open_folder_of_an_older_installation_becomes_its_owners_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    (data / "objects" / "images").mkdir(parents=True)
    for name in ("mezzotint.db", "mezzotint.db-wal", "secret", "lock", "uptime.json", "objects/images/a.png"):
        (data / name).write_bytes(b"x")
    prepare_data_folder(data)
    assert {mode for name, mode in modes(data).items() if (data / name).is_dir()} == {0o700}
    assert {mode for name, mode in modes(data).items() if (data / name).is_file()} == {0o600}
    assert "9 modes set to 0700 (folders) and 0600 (files)" in capsys.readouterr().err
    prepare_data_folder(data)
    assert capsys.readouterr().err == "", "said once"


@pytest.mark.usefixtures("umask")
def test_files_of_a_folder_that_was_closed_already_are_tightened_too(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    (tmp_path / "mezzotint.db").write_bytes(b"x")
    prepare_data_folder(tmp_path)
    assert modes(tmp_path) == {".": 0o700, "mezzotint.db": 0o600}


@pytest.mark.usefixtures("umask")
def test_a_link_in_the_folder_and_what_it_leads_to_are_left_alone(tmp_path: Path) -> None:
    elsewhere = tmp_path / "disk"
    elsewhere.mkdir()
    data = tmp_path / "data"
    data.mkdir()
    (data / "objects").symlink_to(elsewhere)
    prepare_data_folder(data)
    assert stat.S_IMODE(elsewhere.stat().st_mode) == 0o777


def link(lock: Path) -> None:
    lock.symlink_to(lock.with_name("elsewhere"))


@pytest.mark.usefixtures("umask")
@pytest.mark.parametrize("plant", [link, os.mkfifo, os.mkdir])
def test_a_lock_that_is_no_plain_file_is_refused(plant: Callable[[Path], None], tmp_path: Path) -> None:
    plant(tmp_path / "lock")
    with pytest.raises(DataFolderUnusable, match="lock"), lock_data_folder(tmp_path):
        pass
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.usefixtures("umask")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
@pytest.mark.parametrize("name", ["lock", "secret", "mezzotint.db"])
def test_a_file_that_another_user_planted_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"x" * 64)
    os.chown(tmp_path / name, 12345, 12345)
    with (
        pytest.raises(DataFolderUnusable, match=rf"{name} belongs to another user \(uid 12345\)"),
        lock_data_folder(tmp_path),
    ):
        pass
    with pytest.raises(DataFolderUnusable, match="uid 12345"):
        load_secret(read_settings(data=tmp_path))


@pytest.mark.usefixtures("umask")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")
def test_another_user_can_neither_read_the_folder_nor_hold_its_lock(tmp_path: Path) -> None:
    for folder in (tmp_path, *tmp_path.parents[:3]):  # pytest's own folders are closed, too
        folder.chmod(folder.stat().st_mode | 0o055)
    data = tmp_path / "data"
    with lock_data_folder(data):
        pass
    for tried in (
        "os.open({lock!r}, os.O_RDONLY)",
        "os.open({lock!r}, os.O_RDWR | os.O_CREAT)",
        "os.listdir({data!r})",
    ):
        code = "import os; os.setuid(12345); " + tried.format(lock=str(data / "lock"), data=str(data))
        done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=60)
        assert "PermissionError" in done.stderr
