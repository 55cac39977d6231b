"""`mezzotint init | serve | worker | imagine | token | doctor | openapi`, and groups such as `mezzotint tenants`."""

import json
import sys
from datetime import UTC, datetime, timedelta
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated

import typer

from mezzotint import __version__
from mezzotint.config import read_settings, unknown_variables
from mezzotint.domain.claims import Role
from mezzotint.domain.ids import TenantId
from mezzotint.domain.tier import Tier
from mezzotint.environment import set_device_environment
from mezzotint.main import jobs, keys, tenants, users, workers
from mezzotint.main import models as registered
from mezzotint.main.dev_up import commands as dev
from mezzotint.main.evals import commands as evals
from mezzotint.main.fleet.operate import app as fleet
from mezzotint.main.options import Data, report_errors, setting_option
from mezzotint.main.provenance import commands as provenance
from mezzotint.main.provenance.inspect import inspect
from mezzotint.main.safety import appeals, dial, rules
from mezzotint.main.takedown import audit_commands
from mezzotint.main.takedown import commands as takedown

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
app.add_typer(fleet, name="fleet")
app.add_typer(takedown.app, name="takedown")
app.add_typer(audit_commands.app, name="audit")
app.add_typer(evals.app, name="eval")
app.add_typer(provenance.app, name="provenance")
app.add_typer(rules.app, name="rules")
app.add_typer(appeals.app, name="appeals")
app.add_typer(dial.app, name="safety")
app.add_typer(dev.app, name="dev")
app.command()(dial.tighten)
app.command()(inspect)
Model = Annotated[
    str | None,
    setting_option("model", "'starter', a diffusers folder, a .safetensors file, or a hub id such as owner/name."),
]
Like = Annotated[str | None, setting_option("like", "Folder or cached hub id with a file's configuration.")]
Models = Annotated[Path | None, setting_option("models", "TOML file of several models, instead of --model.")]
Revision = Annotated[str | None, setting_option("revision", "Revision of a hub id.")]
AtDatabase = Annotated[
    str | None, setting_option("database", "postgresql://...; without it SQLite in the data folder.")
]
AtObjects = Annotated[
    str | None, setting_option("objects", "A folder or s3://bucket/prefix; without it in the data folder.")
]
Exact = Annotated[
    bool | None,
    setting_option(
        "exact",
        "A picture's bytes do not depend on what else runs (default on a CPU), or more speed (on a GPU).",
        "--exact/--fast",
    ),
]
OnDevice = Annotated[
    str | None, setting_option("device", "Where the model runs: auto, cpu, cuda, or cuda:1 and so on.")
]
InDtype = Annotated[str | None, setting_option("dtype", "What it computes in: auto, float32, float16 or bfloat16.")]
OnHost = Annotated[str | None, setting_option("host", "Address to listen on.")]
OnPort = Annotated[int | None, setting_option("port", "Port to listen on; 0 picks a free one.")]
CheckpointEvery = Annotated[str | None, setting_option("checkpoint_every", "Steps between two checkpoints, or auto.")]
Compile = Annotated[
    bool | None,
    setting_option("compile", "Let torch.compile make denoisers faster; with --fast.", "--compile/--no-compile"),
]


@app.callback(invoke_without_command=True)
def version(
    show: Annotated[bool, typer.Option("--version", metavar="", help="Show the version and exit.")] = False,
) -> None:
    set_device_environment()
    for stream in (sys.stdout, sys.stderr):  # a prompt may hold what the terminal's encoding does not
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if show:
        typer.echo(__version__)
        raise typer.Exit
    for name, like in unknown_variables().items():
        meant = f"; did you mean {like}?" if like else ""
        typer.echo(f"mezzotint: {name} is no setting and has no effect{meant}", err=True)


@app.command()
def init(data: Data = None, database: AtDatabase = None, objects: AtObjects = None) -> None:
    """Make the data folder, its secret and the database; leave alone what is there."""
    from mezzotint.main.init import init as run

    with report_errors():
        run(read_settings(data=data, database=database, objects=objects))


@app.command()
def serve(
    host: OnHost = None,
    port: OnPort = None,
    data: Data = None,
    database: AtDatabase = None,
    objects: AtObjects = None,
    model: Model = None,
    like: Like = None,
    models: Models = None,
    revision: Revision = None,
    device: OnDevice = None,
    dtype: InDtype = None,
    exact: Exact = None,
    compiles: Compile = None,
    checkpoint_every: CheckpointEvery = None,
    worker: Annotated[
        bool | None,
        setting_option(
            "worker", "Draw here, too (without this flag as well), or only speak HTTP.", "--worker/--no-worker"
        ),
    ] = None,
    root_path: Annotated[
        str | None, setting_option("root_path", "Path under which a proxy serves it, such as /paint.")
    ] = None,
    dev: Annotated[bool | None, setting_option("dev", "The page signs in by itself (loopback only).", "--dev")] = None,
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
                like=like,
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
    like: Like = None,
    models: Models = None,
    revision: Revision = None,
    device: OnDevice = None,
    dtype: InDtype = None,
    exact: Exact = None,
    compiles: Compile = None,
    checkpoint_every: CheckpointEvery = None,
    max_runs: Annotated[int | None, setting_option("max_runs", "Most jobs in the engine at once.")] = None,
    pool: Annotated[str | None, setting_option("pool", "Label: the pool that it belongs to.")] = None,
    region: Annotated[str | None, setting_option("region", "Label: the place where it runs.")] = None,
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
                like=like,
                models=models,
                revision=revision,
                device=device,
                dtype=dtype,
                exact=exact,
                compile=compiles,
                checkpoint_every=checkpoint_every,
                max_runs=max_runs,
                pool=pool,
                region=region,
            )
        )


@app.command()
def imagine(
    prompt: Annotated[str, typer.Argument(help='What to draw, such as "a red apple --seed 7".')],
    out: Annotated[Path, typer.Option(help="The picture's file, .png or .webp.")],
    server: Annotated[str | None, typer.Option(help="Ask this server instead of drawing here.")] = None,
    token: Annotated[str | None, typer.Option(help="Bearer token for --server (or MEZZOTINT_TOKEN).")] = None,
    model: Model = None,
    like: Like = None,
    models: Models = None,
    revision: Revision = None,
    device: OnDevice = None,
    dtype: InDtype = None,
) -> None:
    """Draw one picture. Exit code 4: refused; 3: blocked; 5: no such token; 2: wrong usage; 1: anything else failed."""
    from mezzotint.main.imagine import imagine as run

    with report_errors():
        settings = read_settings(
            model=model, like=like, models=models, revision=revision, device=device, dtype=dtype, token=token
        )
        raise typer.Exit(run(settings, prompt, out, server))


@app.command()
def token(
    tenant: Annotated[str, typer.Option(help="Who the token is for: letters, digits, '.', '_' and '-'.")],
    tier: Annotated[Tier, typer.Option(help="What the tenant may ask for.")],
    data: Data = None,
    days: Annotated[int, typer.Option(min=1, max=3650, help="How long it is valid.")] = 30,
    admin: Annotated[
        bool, typer.Option("--admin", metavar="", help="May see and change everything of every tenant.")
    ] = False,
) -> None:
    """Print a token for the server that works in the data folder."""
    from mezzotint.gateway import Issuer
    from mezzotint.main.data_folder import check_tenant_name, load_secret

    with report_errors():
        issuer = Issuer(load_secret(read_settings(data=data), make=False))
        tenant_id = TenantId(check_tenant_name(tenant))
        role = Role.ADMIN if admin else Role.USER
        typer.echo(issuer.issue(tenant_id, tier, datetime.now(UTC), timedelta(days=days), role=role))


@app.command()
def doctor(
    data: Data = None,
    database: AtDatabase = None,
    objects: AtObjects = None,
    model: Model = None,
    like: Like = None,
    models: Models = None,
    device: OnDevice = None,
    host: OnHost = None,
    port: OnPort = None,
) -> None:
    """Look at packages, device, weights, port, stores, disk and page; say what to do about what is missing."""
    from mezzotint.main.doctor import run_doctor

    with report_errors():
        settings = read_settings(
            data=data,
            database=database,
            objects=objects,
            model=model,
            like=like,
            models=models,
            device=device,
            host=host,
            port=port,
        )
        raise typer.Exit(run_doctor(settings))


@app.command()
def openapi(out: Annotated[Path | None, typer.Option(help="File to write; default: print it.")] = None) -> None:
    """Print the API's OpenAPI description."""
    from mezzotint.gateway import create_app

    text = json.dumps(create_app(None).openapi(), indent=2, sort_keys=True) + "\n"
    if out is None:
        typer.echo(text, nl=False)
    else:
        out.write_text(text, encoding="utf-8")
