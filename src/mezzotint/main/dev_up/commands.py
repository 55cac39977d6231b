"""`mezzotint dev up`."""

from pathlib import Path
from typing import Annotated

import typer

from mezzotint.main.options import report_errors

app = typer.Typer(help="A whole site on this machine, for trying.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """A whole site on this machine, for trying."""


@app.command()
def up(
    data: Annotated[Path, typer.Option(help="Folder of everything; the next start finds it again.")] = Path("dev-data"),
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the page on 127.0.0.1; 0 picks one.")] = 8400,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes that draw.")] = 1,
) -> None:
    """Start PostgreSQL, SeaweedFS, Valkey, nginx (if installed), a gateway and workers, on 127.0.0.1, until Ctrl-C."""
    from mezzotint.main.dev_up.up import run_site

    with report_errors():
        run_site(data.resolve(), port, workers)
