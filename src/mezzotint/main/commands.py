"""`mezzotint serve | imagine | token | tenants | users | keys | jobs | workers | models | doctor`; flags are fixed."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from mezzotint import __version__
from mezzotint.config import read_settings, set_device_environment
from mezzotint.domain.claims import Role
from mezzotint.domain.ids import TenantId
from mezzotint.domain.tier import Tier
from mezzotint.main import jobs, keys, tenants, users, workers
from mezzotint.main import models as registered
from mezzotint.main.options import Data, report_errors

app = typer.Typer(
    name="mezzotint",
    help="Serves diffusion models to many people at once.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(tenants.app, name="tenants")
app.add_typer(users.app, name="users")
app.add_typer(keys.app, name="keys")
app.add_typer(registered.app, name="models")
app.add_typer(jobs.app, name="jobs")
app.add_typer(workers.app, name="workers")
Model = Annotated[str | None, typer.Option(help="'starter', a diffusers folder, or a hub id such as owner/name.")]
Models = Annotated[Path | None, typer.Option(help="TOML file of several models, instead of --model.")]
AtDatabase = Annotated[str | None, typer.Option(help="postgresql://...; default: SQLite in the data folder.")]
AtObjects = Annotated[str | None, typer.Option(help="A folder or s3://bucket/prefix; default: in the data folder.")]
Exact = Annotated[
    bool | None, typer.Option("--exact/--fast", help="Bits independent of company (default on a CPU), or more speed.")
]
OnDevice = Annotated[str | None, typer.Option(help="Where the model runs: auto, cpu, cuda, or cuda:1 and so on.")]
Compile = Annotated[
    bool | None, typer.Option("--compile/--no-compile", help="Let torch.compile make denoisers faster; with --fast.")
]
InDtype = Annotated[str | None, typer.Option(help="What it computes in: auto, float32, float16 or bfloat16.")]


@app.callback(invoke_without_command=True)
def version(show: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False) -> None:
    set_device_environment()
    if show:
        typer.echo(__version__)
        raise typer.Exit


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 picks a free one.")] = None,
    data: Data = None,
    database: AtDatabase = None,
    objects: AtObjects = None,
    model: Model = None,
    models: Models = None,
    revision: Annotated[str | None, typer.Option(help="Revision of a hub id.")] = None,
    device: OnDevice = None,
    dtype: InDtype = None,
    exact: Exact = None,
    compiles: Compile = None,
    checkpoint_every: Annotated[str | None, typer.Option(help="Steps between two checkpoints, or auto.")] = None,
    worker: Annotated[
        bool | None, typer.Option("--worker/--no-worker", help="Draw here, too, or only speak HTTP.")
    ] = None,
    root_path: Annotated[str | None, typer.Option(help="Path under which a proxy serves it, such as /paint.")] = None,
    dev: Annotated[bool | None, typer.Option("--dev", help="The page signs in by itself (loopback only).")] = None,
) -> None:
    """Serve the page and the API."""
    from mezzotint.main.serve import serve as run

    with report_errors():
        run(
            read_settings(
                host=host,
                port=port,
                data=data,
                database=database,
                objects=objects,
                model=model,
                models=models,
                revision=revision,
                device=device,
                dtype=dtype,
                exact=exact,
                compile=compiles,
                checkpoint_every=checkpoint_every,
                dev=dev,
                root_path=root_path,
                worker=worker,
            )
        )


@app.command()
def worker(
    data: Data = None,
    database: AtDatabase = None,
    objects: AtObjects = None,
    model: Model = None,
    models: Models = None,
    revision: Annotated[str | None, typer.Option(help="Revision of a hub id.")] = None,
    device: OnDevice = None,
    dtype: InDtype = None,
    exact: Exact = None,
    compiles: Compile = None,
    checkpoint_every: Annotated[str | None, typer.Option(help="Steps between two checkpoints, or auto.")] = None,
    max_runs: Annotated[int | None, typer.Option(help="Most jobs in the engine at once.")] = None,
) -> None:
    """Draw what gateways accepted, in a process of its own. Any number may work on one database."""
    from mezzotint.main.worker import run_worker as run

    with report_errors():
        run(
            read_settings(
                data=data,
                database=database,
                objects=objects,
                model=model,
                models=models,
                revision=revision,
                device=device,
                dtype=dtype,
                exact=exact,
                compile=compiles,
                checkpoint_every=checkpoint_every,
                max_runs=max_runs,
            )
        )


@app.command()
def imagine(
    prompt: Annotated[str, typer.Argument(help='What to draw, such as "a red apple --seed 7".')],
    out: Annotated[Path, typer.Option(help="The picture's file, .png or .webp.")],
    server: Annotated[str | None, typer.Option(help="Ask this server instead of drawing here.")] = None,
    token: Annotated[str | None, typer.Option(help="Bearer token for --server (or MEZZOTINT_TOKEN).")] = None,
    model: Model = None,
    models: Models = None,
    revision: Annotated[str | None, typer.Option(help="Revision of a hub id.")] = None,
    device: OnDevice = None,
    dtype: InDtype = None,
) -> None:
    """Draw one picture. Exit code 2: the prompt was refused; 3: the picture was blocked; 1: anything else failed."""
    from mezzotint.main.imagine import imagine as run

    with report_errors():
        settings = read_settings(model=model, models=models, revision=revision, device=device, dtype=dtype, token=token)
        raise typer.Exit(run(settings, prompt, out, server))


@app.command()
def token(
    tenant: Annotated[str, typer.Option(help="Who the token is for: letters, digits, '.', '_' and '-'.")],
    tier: Annotated[Tier, typer.Option(help="What the tenant may ask for.")],
    data: Data = None,
    days: Annotated[int, typer.Option(min=1, max=3650, help="How long it is valid.")] = 30,
    admin: Annotated[bool, typer.Option("--admin", help="May see and change everything of every tenant.")] = False,
) -> None:
    """Print a token for the server that works in the data folder."""
    from mezzotint.gateway import Issuer
    from mezzotint.main.data_folder import check_tenant_name, load_secret

    with report_errors():
        issuer = Issuer(load_secret(read_settings(data=data)))
        tenant_id = TenantId(check_tenant_name(tenant))
        role = Role.ADMIN if admin else Role.USER
        typer.echo(issuer.issue(tenant_id, tier, datetime.now(UTC), timedelta(days=days), role=role))


@app.command()
def doctor(
    data: Data = None, model: Model = None, models: Models = None, port: Annotated[int | None, typer.Option()] = None
) -> None:
    """Look at packages, device, weights, port, disk and page; say what to do about what is missing."""
    from mezzotint.main.doctor import run_doctor

    with report_errors():
        raise typer.Exit(run_doctor(read_settings(data=data, model=model, models=models, port=port)))


@app.command()
def openapi(out: Annotated[Path | None, typer.Option(help="File to write; default: print it.")] = None) -> None:
    """Print the API's OpenAPI description."""
    from mezzotint.gateway import create_app

    text = json.dumps(create_app(None).openapi(), indent=2, sort_keys=True) + "\n"
    if out is None:
        typer.echo(text, nl=False)
    else:
        out.write_text(text, encoding="utf-8")
