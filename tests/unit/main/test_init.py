"""Commands name the database that they act on, make none but by `init`, and say what is wrong with it."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from mezzotint.main import app

ADMINISTER = [
    ("tenants", "create", "acme"),
    ("tenants", "list"),
    ("tenants", "tier", "acme", "pro"),
    ("users", "create", "ada", "--tenant", "acme", "--password-stdin"),
    ("users", "list"),
    ("users", "delete", "ada"),
    ("keys", "create", "--tenant", "acme"),
    ("keys", "list"),
    ("jobs", "dead"),
    ("jobs", "retry", "job_1"),
    ("workers", "list"),
    ("workers", "drain", "--all"),
    ("token", "--tenant", "acme", "--tier", "free"),
]


def mezzotint(*arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(app, arguments, input="four words in a row\n", env=environment)


@pytest.mark.parametrize("arguments", ADMINISTER, ids=" ".join)
def test_no_command_but_init_and_serve_makes_a_database(arguments: tuple[str, ...], tmp_path: Path) -> None:
    done = mezzotint(*arguments, "--data", str(tmp_path / "typo"))
    assert done.exit_code == 1
    assert "[database_missing]" in done.stderr
    assert str(tmp_path / "typo") in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_init_makes_one_once_and_commands_say_which_they_use(tmp_path: Path) -> None:
    data = tmp_path / "data"
    first, second = (mezzotint("init", "--data", str(data)) for _ in range(2))
    assert (first.exit_code, second.exit_code) == (0, 0)
    assert f"{data / 'mezzotint.db'}  (made)" in first.stdout
    assert f"{data / 'mezzotint.db'}  (was there)" in second.stdout
    listed = mezzotint("tenants", "list", "--data", str(data))
    assert listed.exit_code == 0
    assert f"database {data / 'mezzotint.db'}" in listed.stderr
    assert mezzotint("token", "--tenant", "acme", "--tier", "free", "--data", str(data)).exit_code == 0


@pytest.mark.parametrize("content", [b"", b"no database, but some other file of a user\n" * 100])
def test_a_file_that_is_no_database_of_ours_is_left_alone_and_named(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "mezzotint.db"
    path.write_bytes(content)
    done = mezzotint("tenants", "list", "--data", str(tmp_path))
    assert done.exit_code == 1
    assert ("[store_unusable]" if content else "[database_missing]") in done.stderr
    assert str(path) in done.stderr
    assert path.read_bytes() == content


@pytest.mark.parametrize("command", [("tenants", "list"), ("init",)])
def test_a_database_that_is_away_is_named_by_its_host_and_no_password_shown(
    command: tuple[str, ...], tmp_path: Path
) -> None:
    address = "postgresql://ada:private@127.0.0.1:9/pictures"
    done = mezzotint(*command, "--data", str(tmp_path / "data"), MEZZOTINT_DATABASE=address)
    assert done.exit_code == 1
    assert "[store_unusable]" in done.stderr
    assert "127.0.0.1:9/pictures" in done.stderr
    assert "private" not in done.output


def test_an_object_store_that_is_away_stops_the_start(tmp_path: Path) -> None:
    known = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "private"}
    done = mezzotint("init", "--data", str(tmp_path), "--objects", "s3://pictures/x", **known)
    assert done.exit_code == 1
    assert "[store_unusable]" in done.stderr
    assert "s3://pictures/x" in done.stderr


def test_a_misspelt_variable_is_named_with_the_setting_most_like_it(tmp_path: Path) -> None:
    done = mezzotint("tenants", "list", "--data", str(tmp_path), MEZZOTINT_SIGNUP="true", MEZZOTINT_XYZZY="1")
    assert "MEZZOTINT_SIGNUP is no setting and has no effect; did you mean MEZZOTINT_SIGN_UP?" in done.stderr
    assert "MEZZOTINT_XYZZY is no setting and has no effect\n" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "listed_by"),
    [
        (("jobs", "retry", "job_x"), "jobs dead"),
        (("workers", "drain", "nope"), "workers list"),
        (("tenants", "tier", "nope", "pro"), "tenants list"),
        (("users", "delete", "nope"), "users list"),
        (("keys", "revoke", "nope"), "keys list"),
    ],
)
def test_what_is_not_known_is_said_with_the_command_that_lists(
    arguments: tuple[str, ...], listed_by: str, tmp_path: Path
) -> None:
    mezzotint("init", "--data", str(tmp_path))
    done = mezzotint(*arguments, "--data", str(tmp_path))
    assert f"`mezzotint {listed_by}` shows" in done.stderr


def test_the_help_tells_defaults() -> None:
    shown = CliRunner().invoke(app, ["serve", "--help"], env={"COLUMNS": "200"}).output
    for default in ("(127.0.0.1)", "(8400)", "(data)", "(starter)", "(auto)"):
        assert default in shown
