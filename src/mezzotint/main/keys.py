"""`mezzotint keys create | list | rotate | revoke`."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from mezzotint.domain.claims import OWN, Scope
from mezzotint.domain.ids import KeyId, TenantId
from mezzotint.domain.key import Key, KeyRequest
from mezzotint.main.options import Data, print_table, report_errors

app = typer.Typer(help="API keys: long-lived secrets for programs.", no_args_is_help=True)
Id = Annotated[str, typer.Argument(help="The key's id, as `list` shows it.")]


@app.command()
def create(
    tenant: Annotated[str, typer.Option(help="Who the key speaks for; it must exist.")],
    name: Annotated[str, typer.Option(help="For people to know it by.")] = "key",
    scope: Annotated[list[Scope] | None, typer.Option(help="What it may do; repeat it. Default: read, write.")] = None,
    days: Annotated[int, typer.Option(min=0, max=3650, help="How long it works; 0: until revoked.")] = 90,
    data: Data = None,
) -> None:
    """Make a key of the tenant and print its secret, this once."""
    from mezzotint.gateway import Accounts
    from mezzotint.main.accounts import require_found, with_accounts

    async def add(accounts: Accounts) -> str:
        require_found(await accounts.tenants.get(TenantId(tenant)) is not None, "tenant", tenant)
        now = datetime.now(UTC)
        until = now + timedelta(days=days) if days else None
        wanted = KeyRequest(tenant=TenantId(tenant), name=name[:80], scopes=frozenset(scope or OWN), expires_at=until)
        made = await accounts.keys.add(wanted, now)
        return made[1] if made else ""

    with report_errors():
        typer.echo(with_accounts(data, add))


@app.command("list")
def show(tenant: Annotated[str | None, typer.Option(help="Only this tenant's.")] = None, data: Data = None) -> None:
    """Keys, oldest first; secrets are not kept."""
    from mezzotint.main.accounts import with_accounts

    with report_errors():
        of = None if tenant is None else TenantId(tenant)
        found = with_accounts(data, lambda accounts: accounts.keys.of_tenant(of))
        now = datetime.now(UTC)
        rows = [(k.id, k.prefix, k.tenant, k.name, " ".join(sorted(k.scopes)), state(k, now)) for k in found]
        print_table(("id", "prefix", "tenant", "name", "scopes", "state"), rows)


@app.command()
def rotate(
    key: Id,
    grace_hours: Annotated[int, typer.Option(min=0, max=720, help="How long the old secret works on.")] = 24,
    data: Data = None,
) -> None:
    """Print a new secret for a key; the old one works on for a while."""
    from mezzotint.main.accounts import require_found, with_accounts

    with report_errors():
        grace, now = timedelta(hours=grace_hours), datetime.now(UTC)
        rotated = with_accounts(data, lambda accounts: accounts.keys.rotate(KeyId(key), None, now, grace))
        require_found(rotated is not None, "valid key", key)
        typer.echo(rotated[1] if rotated else "")


@app.command()
def revoke(key: Id, data: Data = None) -> None:
    """End a key at once, its old secret too."""
    from mezzotint.main.accounts import require_found, with_accounts

    with report_errors():
        now = datetime.now(UTC)
        require_found(
            with_accounts(data, lambda accounts: accounts.keys.revoke(KeyId(key), None, now)),
            "key",
            key,
        )
        typer.echo(f"{key}  revoked")


def state(key: Key, now: datetime) -> str:
    if key.revoked_at is not None:
        return "revoked"
    if not key.is_valid(now):
        return "expired"
    return "valid" if key.expires_at is None else f"valid until {key.expires_at:%Y-%m-%d}"
