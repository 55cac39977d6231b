"""`mezzotint tenants | users | keys`, on a real data folder."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from mezzotint.config import read_settings
from mezzotint.domain.claims import Claims, Scope
from mezzotint.domain.drawing.recipe import RecipeAudience
from mezzotint.domain.errors import SettingInvalid
from mezzotint.domain.ids import TenantId
from mezzotint.main import app
from mezzotint.main.accounts import open_key_set, read_provider, with_accounts

PASSWORD = "four words in a row"


def mezzotint(data: Path, *arguments: str, stdin: str | None = None) -> Result:
    if not (data / "mezzotint.db").exists():
        CliRunner().invoke(app, ["init", "--data", str(data)])
    return CliRunner().invoke(app, [*arguments, "--data", str(data)], input=stdin)


def holder(data: Path, secret: str) -> Claims | None:
    return with_accounts(data, lambda accounts: accounts.keys.read(secret, datetime.now(UTC)))


def test_tenants_are_made_listed_moved_and_shut_out(tmp_path: Path) -> None:
    assert mezzotint(tmp_path, "tenants", "create", "acme", "--tier", "paid").exit_code == 0
    assert mezzotint(tmp_path, "tenants", "tier", "acme", "pro").exit_code == 0
    assert mezzotint(tmp_path, "tenants", "visibility", "acme", "shared").exit_code == 0
    assert mezzotint(tmp_path, "tenants", "visibility", "acme", "all").exit_code != 0
    assert mezzotint(tmp_path, "tenants", "metadata", "acme", "everybody").exit_code == 0
    acme = with_accounts(tmp_path, lambda accounts: accounts.tenants.get(TenantId("acme")))
    assert acme.recipe_audience is RecipeAudience.EVERYBODY
    assert mezzotint(tmp_path, "tenants", "disable", "acme").exit_code == 0
    (row,) = mezzotint(tmp_path, "tenants", "list").stdout.splitlines()[1:]
    assert row.split()[:4] == ["acme", "pro", "shared", "disabled"]
    assert mezzotint(tmp_path, "tenants", "enable", "acme").exit_code == 0
    assert "enabled" in mezzotint(tmp_path, "tenants", "list").stdout


def test_a_key_is_printed_once_rotated_and_revoked(tmp_path: Path) -> None:
    mezzotint(tmp_path, "tenants", "create", "acme", "--tier", "paid")
    secret = mezzotint(tmp_path, "keys", "create", "--tenant", "acme", "--scope", "read").stdout.strip()
    claims = holder(tmp_path, secret)
    assert claims is not None
    assert (claims.tenant, claims.tier, claims.scopes) == ("acme", "paid", {Scope.READ})
    listed = mezzotint(tmp_path, "keys", "list").stdout
    assert secret[:15] in listed
    assert secret not in listed
    id = listed.splitlines()[1].split()[0]
    new = mezzotint(tmp_path, "keys", "rotate", id, "--grace-hours", "0").stdout.strip()
    assert holder(tmp_path, secret) is None
    assert holder(tmp_path, new) is not None
    assert mezzotint(tmp_path, "keys", "revoke", id).exit_code == 0
    assert holder(tmp_path, new) is None
    assert "revoked" in mezzotint(tmp_path, "keys", "list").stdout


def test_users_are_made_with_a_password_from_standard_input(tmp_path: Path) -> None:
    mezzotint(tmp_path, "tenants", "create", "acme")
    made = mezzotint(tmp_path, "users", "create", "Ada", "--tenant", "acme", "--password-stdin", stdin=PASSWORD + "\n")
    assert made.exit_code == 0, made.output
    assert PASSWORD not in made.output
    assert mezzotint(tmp_path, "users", "role", "ada", "admin").exit_code == 0
    assert mezzotint(tmp_path, "users", "disable", "ada").exit_code == 0
    (row,) = mezzotint(tmp_path, "users", "list").stdout.splitlines()[1:]
    assert row.split() == ["ada", "acme", "admin", "disabled"]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("tenants", "create", "a b"), "argument_invalid"),
        (("tenants", "create", "acme"), "name_taken"),
        (("tenants", "tier", "nobody", "pro"), "not_known"),
        (("tenants", "disable", "nobody"), "not_known"),
        (("users", "create", "ada", "--tenant", "nobody", "--password-stdin"), "not_known"),
        (("users", "create", "a b", "--tenant", "acme", "--password-stdin"), "argument_invalid"),
        (("users", "password", "nobody", "--password-stdin"), "not_known"),
        (("users", "enable", "nobody"), "not_known"),
        (("keys", "create", "--tenant", "nobody"), "not_known"),
        (("keys", "rotate", "key_0"), "not_known"),
        (("keys", "revoke", "key_0"), "not_known"),
    ],
)
def test_what_cannot_be_done_is_said_with_a_code(tmp_path: Path, arguments: tuple[str, ...], code: str) -> None:
    mezzotint(tmp_path, "tenants", "create", "acme")
    done = mezzotint(tmp_path, *arguments, stdin=PASSWORD + "\n")
    assert done.exit_code == (2 if code == "argument_invalid" else 1)
    assert f"[{code}]" in done.stderr
    assert done.stdout == ""


def test_a_weak_password_is_refused(tmp_path: Path) -> None:
    mezzotint(tmp_path, "tenants", "create", "acme")
    done = mezzotint(tmp_path, "users", "create", "ada", "--tenant", "acme", "--password-stdin", stdin="short\n")
    assert (done.exit_code, "argument_invalid" in done.stderr) == (2, True)


def test_half_a_provider_stops_the_start() -> None:
    with pytest.raises(SettingInvalid, match="oidc_audience"):
        read_provider(read_settings(oidc_issuer="https://id.example", oidc_jwks="https://id.example/jwks"))


@pytest.mark.parametrize("place", ["http://id.example/jwks", "/no/such/file", "ftp://id.example/x"])
def test_keys_come_from_https_or_a_file_that_is_there(place: str) -> None:
    with pytest.raises(SettingInvalid, match="oidc_jwks"):
        open_key_set(place)
