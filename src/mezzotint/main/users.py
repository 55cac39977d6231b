"""`mezzotint users create | list | password | role | disable | enable | delete`."""

import sys
from datetime import UTC, datetime
from typing import Annotated

import typer

from mezzotint.domain.claims import Role
from mezzotint.domain.errors import ArgumentInvalid, NameTaken
from mezzotint.domain.ids import TenantId
from mezzotint.domain.user import User
from mezzotint.main.options import Data, print_table, report_errors
from mezzotint.policy.credentials import MAX_PASSWORD, fold_name, name_fault, password_fault

app = typer.Typer(help="People who sign in with a name and a password.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="The name to sign in with, such as an e-mail address.")]
FromStdin = Annotated[bool, typer.Option("--password-stdin", metavar="", help="Read the password from standard input.")]


@app.command()
def create(
    name: Name,
    tenant: Annotated[str, typer.Option(help="The tenant it belongs to; it must exist.")],
    *,
    admin: Annotated[
        bool, typer.Option("--admin", metavar="", help="May see and change everything of every tenant.")
    ] = False,
    manager: Annotated[
        bool,
        typer.Option(
            "--manager", metavar="", help="May change what others of the tenant made, where it shows them that."
        ),
    ] = False,
    password_stdin: FromStdin = False,
    data: Data = None,
) -> None:
    """Make a user; asks for the password."""
    from mezzotint.gateway import Accounts
    from mezzotint.gateway.routes.sign_in import new_user_id
    from mezzotint.main.accounts import require_found, with_accounts

    async def add(accounts: Accounts) -> bool:
        require_found(await accounts.tenants.get(TenantId(tenant)) is not None, "tenant", tenant)
        role = Role.ADMIN if admin else Role.MANAGER if manager else Role.USER
        now = datetime.now(UTC)
        user = User(id=new_user_id(), tenant=TenantId(tenant), name=fold_name(name), role=role, created_at=now)
        return await accounts.users.add(user, secret)

    with report_errors():
        if fault := name_fault(name):
            raise ArgumentInvalid(f"name {name[:80]!r}: {fault}")
        secret = ask(name, from_stdin=password_stdin)
        if not with_accounts(data, add):
            raise NameTaken(f"there is a user {name!r} already")
        typer.echo(f"{fold_name(name)}  {tenant}")


@app.command("list")
def show(tenant: Annotated[str | None, typer.Option(help="Only this tenant's.")] = None, data: Data = None) -> None:
    """Users by name."""
    from mezzotint.main.accounts import with_accounts

    with report_errors():
        of = None if tenant is None else TenantId(tenant)
        found = with_accounts(data, lambda accounts: accounts.users.of_tenant(of))
        rows = [(one.name, one.tenant, one.role, "enabled" if one.disabled_at is None else "disabled") for one in found]
        print_table(("user", "tenant", "role", "state"), rows)


@app.command()
def password(name: Name, password_stdin: FromStdin = False, data: Data = None) -> None:
    """Give a user another password; their sessions end."""
    from mezzotint.main.accounts import require_found, with_accounts

    with report_errors():
        new = ask(name, from_stdin=password_stdin)
        require_found(
            with_accounts(data, lambda accounts: accounts.users.set_password(name, new)),
            "user",
            name,
        )
        typer.echo(f"{fold_name(name)}  password changed, sessions ended")


@app.command()
def role(name: Name, role: Annotated[Role, typer.Argument(help="The new role.")], data: Data = None) -> None:
    """Make a user a manager of the tenant, an admin of the server, or neither; their sessions end."""
    from mezzotint.main.accounts import require_found, with_accounts

    with report_errors():
        require_found(
            with_accounts(data, lambda accounts: accounts.users.set_role(name, role)),
            "user",
            name,
        )
        typer.echo(f"{fold_name(name)}  {role}")


@app.command()
def disable(name: Name, data: Data = None) -> None:
    """Let a user in no more, nor the keys they made; their sessions end."""
    _set_disabled(name, data, datetime.now(UTC))


@app.command()
def enable(name: Name, data: Data = None) -> None:
    """Let a disabled user sign in again."""
    _set_disabled(name, data, None)


@app.command()
def delete(name: Name, data: Data = None) -> None:
    """Forget a user: their sessions and keys end. Jobs and pictures stay the tenant's."""
    from mezzotint.main.accounts import require_found, with_accounts

    with report_errors():
        require_found(with_accounts(data, lambda accounts: accounts.users.remove(name)), "user", name)
        typer.echo(f"{fold_name(name)}  deleted, sessions and keys ended")


def _set_disabled(name: str, data: Data, at: datetime | None) -> None:
    from mezzotint.main.accounts import require_found, with_accounts

    with report_errors():
        require_found(with_accounts(data, lambda accounts: accounts.users.disable(name, at)), "user", name)
        typer.echo(f"{fold_name(name)}  {'enabled' if at is None else 'disabled'}")


def ask(name: str, *, from_stdin: bool) -> str:
    """A password that may be used. Raises: ArgumentInvalid."""
    if from_stdin:
        given = sys.stdin.readline(MAX_PASSWORD + 2).rstrip("\n")
    else:
        given = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    if fault := password_fault(name, given):
        raise ArgumentInvalid(f"password: {fault}")
    return given
