"""`mezzotint fleet check`."""

from functools import cache, partial
from pathlib import Path
from typing import Annotated

import typer

from mezzotint.config import read_settings
from mezzotint.domain.fleet.pool import Fleet, Pool
from mezzotint.main.options import Data, print_table, report_errors, setting_option

app = typer.Typer(help="Workers on many machines, by a file of pools.", no_args_is_help=True)
FleetFile = Annotated[Path, typer.Argument(help="The fleet's file, such as deploy/fleet.toml.")]
Listed = Annotated[Path | None, setting_option("models", "TOML file of several models.")]
AtDatabase = Annotated[str | None, setting_option("database", "postgresql://..., which all of the fleet shares.")]
AtObjects = Annotated[str | None, setting_option("objects", "s3://bucket/prefix, or a folder that all nodes share.")]
One = Annotated[str | None, setting_option("model", "'starter', a diffusers folder, a file, or a hub id.")]

IsAutoscaled = Annotated[
    bool, typer.Option("--autoscaled", metavar="", help="The cluster brings nodes when workers want them.")
]


@app.command()
def check(
    file: FleetFile,
    ray: Annotated[str | None, typer.Option(help="HOST:PORT of a Ray cluster whose nodes are checked, too.")] = None,
    autoscaled: IsAutoscaled = False,
    data: Data = None,
    database: AtDatabase = None,
    objects: AtObjects = None,
    models: Listed = None,
    model: One = None,
) -> None:
    """Check a fleet's file against the models that are served, and with --ray the cluster; start nothing."""
    from mezzotint.main.fleet.fleet_file import read_fleet
    from mezzotint.main.served_models import find_models
    from mezzotint.policy.fleet.validation import list_gaps

    with report_errors():
        settings = read_settings(data=data, database=database, objects=objects, models=models, model=model)
        settings = settings.model_copy(update={"worker": ray is not None})
        find_offers = cache(partial(find_models, settings))
        fleet = read_fleet(file, find_offers)
        print_pools(fleet)
        for gap in list_gaps(fleet, [offer.info.name for offer in find_offers()]):
            typer.echo(f"note: {gap}")
        if ray is not None:
            from mezzotint.main.fleet.up import UpRequest, check_on_cluster

            request = UpRequest(file=file, ray=ray, is_autoscaled=autoscaled)
            typer.echo(f"{ray}: {check_on_cluster(settings, fleet, request)} nodes checked")
        typer.echo(f"{file}: checked{describe_cost(fleet)}")


def print_pools(fleet: Fleet) -> None:
    head = ("pool", "device", "workers", "warm", "models", "lanes", "tenants", "region", "market", "an hour")
    print_table(head, [_row(pool) for pool in fleet.pools])


def _row(pool: Pool) -> tuple[str, ...]:
    device = pool.resource or pool.accelerator
    return (
        pool.name,
        f"{pool.num_gpus:g} {device}" if pool.num_gpus not in (0.0, 1.0) else device,
        f"{pool.min_workers} to {pool.max_workers}",
        str(pool.warm_floor),
        ", ".join(pool.models) or "all",
        ", ".join(pool.lanes),
        ", ".join(pool.tenants) or "all",
        pool.region,
        pool.market,
        "?" if pool.price_per_hour is None else f"{pool.price_per_hour:g}",
    )


def describe_cost(fleet: Fleet) -> str:
    """Describe the price of the fleet an hour, from its fewest workers to its most; empty where a price is missing."""
    prices = [(pool.price_per_hour, pool) for pool in fleet.pools]
    if any(price is None for price, _ in prices):
        return ""
    least = sum((price or 0.0) * pool.min_workers for price, pool in prices)
    most = sum((price or 0.0) * pool.max_workers for price, pool in prices)
    ceiling = fleet.cost_ceiling_per_hour
    held = f", held at {ceiling:g}" if ceiling is not None and ceiling < most else ""
    return f"; it costs {least:g} to {most:g} an hour{held}"
