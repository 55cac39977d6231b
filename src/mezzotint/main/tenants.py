"""`mezzotint tenants create | list | tier | visibility | metadata | reuse | disable | enable`."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated

import typer

from mezzotint.domain.drawing.recipe import RecipeAudience
from mezzotint.domain.errors import NameTaken
from mezzotint.domain.ids import TenantId
from mezzotint.domain.tenant import Tenant, Visibility
from mezzotint.domain.tier import Tier
from mezzotint.main.options import Data, print_table, report_errors

app = typer.Typer(help="Who owns jobs, pictures, users and keys.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="The tenant's name.")]
OfTier = Annotated[Tier, typer.Option("--tier", help="What the tenant may ask for.")]
PAGE = 500


@app.command()
def create(name: Name, tier: OfTier = Tier.FREE, data: Data = None) -> None:
    """Make a tenant."""
    from mezzotint.main.accounts import with_accounts
    from mezzotint.main.data_folder import check_tenant_name

    with report_errors():
        tenant = Tenant(id=TenantId(check_tenant_name(name)), tier=tier, created_at=datetime.now(UTC))
        if not with_accounts(data, lambda accounts: accounts.tenants.add(tenant)):
            raise NameTaken(f"there is a tenant {name!r} already")
        typer.echo(f"{name}  {tier}")


@app.command("list")
def show(data: Data = None) -> None:
    """Every tenant, by name."""
    from mezzotint.gateway import Accounts
    from mezzotint.main.accounts import with_accounts

    async def all_of(accounts: Accounts) -> list[Tenant]:
        found: list[Tenant] = []
        while page := await accounts.tenants.page(PAGE, found[-1].id if found else ""):
            found += page
        return found

    with report_errors():
        rows = [(one.id, one.tier, one.visibility, _state(one)) for one in with_accounts(data, all_of)]
        print_table(("tenant", "tier", "visibility", "state"), rows)


@app.command()
def tier(name: Name, tier: Annotated[Tier, typer.Argument(help="The new tier.")], data: Data = None) -> None:
    """Give a tenant another tier: for its users and keys at once, and no token of it ranks higher."""
    from mezzotint.main.accounts import require_found, with_accounts

    with report_errors():
        found = with_accounts(data, lambda accounts: accounts.tenants.set_tier(TenantId(name), tier))
        require_found(found, "tenant", name)
        typer.echo(f"{name}  {tier}")


@app.command()
def visibility(
    name: Name,
    visibility: Annotated[
        Visibility, typer.Argument(help="Who sees what others of the tenant made: nobody, its managers, or everybody.")
    ],
    data: Data = None,
) -> None:
    """Say who in a tenant sees each other's jobs and pictures; streams that show too much end within two seconds."""
    import structlog

    from mezzotint.config import read_settings
    from mezzotint.main.accounts import require_found, with_accounts
    from mezzotint.main.log import configure_log

    with report_errors():
        configure_log(read_settings(data=data))
        found = with_accounts(data, lambda accounts: accounts.tenants.set_visibility(TenantId(name), visibility))
        require_found(found, "tenant", name)
        structlog.get_logger().info("tenant visibility set", tenant=name, visibility=visibility, by="command line")
        typer.echo(f"{name}  {visibility}")


@app.command()
def metadata(
    name: Name,
    audience: Annotated[
        RecipeAudience,
        typer.Argument(
            help="Nobody, the owner in files that answer its own requests, or everybody who has a picture's address."
        ),
    ],
    data: Data = None,
) -> None:
    """Say who finds prompt, seed and settings in the files of the tenant's new pictures."""
    from mezzotint.main.accounts import require_found, with_accounts

    with report_errors():
        found = with_accounts(data, lambda accounts: accounts.tenants.set_recipe_audience(TenantId(name), audience))
        require_found(found, "tenant", name)
        typer.echo(f"{name}  {audience}")


class Reuse(StrEnum):
    ON = "on"
    OFF = "off"


@app.command()
def reuse(
    name: Name,
    switch: Annotated[
        Reuse, typer.Argument(help="Whether an equal request with a fixed seed is answered from the stored picture.")
    ],
    data: Data = None,
) -> None:
    """Let a tenant's equal requests be answered from stored pictures, or have each of them drawn."""
    from mezzotint.main.accounts import require_found, with_accounts

    with report_errors():
        is_on = switch is Reuse.ON
        found = with_accounts(data, lambda accounts: accounts.tenants.set_reuses_pictures(TenantId(name), is_on))
        require_found(found, "tenant", name)
        typer.echo(f"{name}  {switch}")


@app.command()
def disable(name: Name, data: Data = None) -> None:
    """Let nothing of the tenant in any more: users, keys and tokens. Jobs under way go on."""
    _set_disabled(name, data, datetime.now(UTC))


@app.command()
def enable(name: Name, data: Data = None) -> None:
    """Let a disabled tenant in again."""
    _set_disabled(name, data, None)


def _set_disabled(name: str, data: Data, at: datetime | None) -> None:
    from mezzotint.main.accounts import require_found, with_accounts

    with report_errors():
        found = with_accounts(data, lambda accounts: accounts.tenants.disable(TenantId(name), at))
        require_found(found, "tenant", name)
        typer.echo(f"{name}  {'enabled' if at is None else 'disabled'}")


def _state(tenant: Tenant) -> str:
    return "enabled" if tenant.disabled_at is None else f"disabled {tenant.disabled_at:%Y-%m-%d}"
