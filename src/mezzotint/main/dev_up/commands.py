"""`mezzotint dev up`."""

from pathlib import Path
from typing import Annotated

import typer

from mezzotint.domain.errors import ArgumentInvalid
from mezzotint.main.options import report_errors

app = typer.Typer(help="A whole site on this machine, for trying.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """A whole site on this machine, for trying."""


@app.command()
def up(
    data: Annotated[Path, typer.Option(help="Folder of everything; the next start finds it again.")] = Path("dev-data"),
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the page on 127.0.0.1; 0 picks one.")] = 8400,
    workers: Annotated[int | None, typer.Option(min=1, max=64, help="Processes that draw; default: 1.")] = None,
    fleet: Annotated[
        bool, typer.Option("--fleet", metavar="", help="Let a fleet on a local Ray draw, by fleet.toml in the folder.")
    ] = False,
    pools: Annotated[Path | None, typer.Option(help="Another file of the fleet's pools, with --fleet.")] = None,
) -> None:
    """Start PostgreSQL, SeaweedFS, Valkey, nginx (if installed), a gateway and workers, on 127.0.0.1, until Ctrl-C."""
    from mezzotint.main.dev_up.up import run_site

    with report_errors():
        if fleet and workers is not None:
            raise ArgumentInvalid("--workers with --fleet: the file of the pools says how many workers there are")
        if pools is not None and not (fleet and pools.is_file()):
            raise ArgumentInvalid(f"--pools {pools}: " + ("there is no such file" if fleet else "it needs --fleet"))
        folder = data.resolve()
        run_site(folder, port, workers or 1, (pools or folder / "fleet.toml").resolve() if fleet else None)
