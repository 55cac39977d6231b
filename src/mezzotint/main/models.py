"""`mezzotint models list | check | describe | import`: what is served, what the engine can do with it, and how fast."""

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mezzotint.config import Settings, read_settings
from mezzotint.domain.errors import ArgumentInvalid, NotKnown, OutputUnwritable
from mezzotint.domain.model import ForecastPolicy, Speed
from mezzotint.engine.forecasting.calibration import Calibration, is_current
from mezzotint.engine.models import files
from mezzotint.engine.models.describe import write_card
from mezzotint.main.drawing.trial_drawing import draw_smallest, smallest_px
from mezzotint.main.options import Data, print_table, report_errors, setting_option
from mezzotint.main.served_models import (
    Findings,
    ServedModel,
    build_catalog,
    check_files,
    find_models,
    find_place,
    sample_request,
)

if TYPE_CHECKING:
    from mezzotint.engine import Capabilities
    from mezzotint.engine.forecasting.calibration import Trial

app = typer.Typer(help="The models that are served.", no_args_is_help=True)
Listed = Annotated[Path | None, setting_option("models", "TOML file of several models.")]
One = Annotated[str | None, setting_option("model", "'starter', a diffusers folder, a file, or a hub id.")]
Like = Annotated[str | None, setting_option("like", "Folder or cached hub id with a file's configuration.")]
Name = Annotated[str | None, typer.Argument(help="The model's name; default: the first.")]
OnDevice = Annotated[
    str | None, setting_option("device", "Where the model runs: auto, cpu, cuda, or cuda:1 and so on.")
]
STEPS = (4, 3)
"""Steps of the two requests: enough for a step in the middle, and unequal, so that one ends first."""
NUM_SAMPLES = 3
"""Pictures by which forecasts are calibrated, at the model's own steps."""


@app.command("list")
def show(data: Data = None, models: Listed = None, model: One = None, like: Like = None) -> None:
    """Every model, its size, and what `check` found."""
    with report_errors():
        settings = read_settings(data=data, models=models, model=model, like=like)
        known = Findings.of(settings.data).capabilities
        rows = []
        for offer in find_models(settings):
            found = read_findings(known, offer)
            size = f"{offer.info.native_width} x {offer.info.native_height}"
            kept = "warm" if offer.entry.warm else "on demand"
            can = [str(found[name]) if found else "?" for name in ("batch", "resume", "exclusive")]
            rows.append((offer.info.name, size, f"{offer.num_bytes / 1e6:.0f} MB", kept, *can))
        print_table(("model", "native px", "weights", "memory", "batches", "resumes", "exclusive"), rows)


@app.command()
def check(
    name: Name = None,
    data: Data = None,
    models: Listed = None,
    model: One = None,
    like: Like = None,
    device: OnDevice = None,
) -> None:
    """Load a model, draw with it for each of its tasks at its smallest size, and find out by two small requests whether
    its runs share passes and resume; keep the answer.

    Three usual ones, drawn with every pass and within several bounds, tell how far it may forecast.
    The verdicts on merged passes are kept, too: users' first requests then need no verification.
    """
    from mezzotint.main.data_folder import prepare_data_folder

    with report_errors():
        settings = read_settings(data=data, models=models, model=model, like=like, device=device)
        offer = pick_model(find_models(settings), name)
        prepare_data_folder(settings.data)
        findings = Findings.of(settings.data)
        found = self_test_model(settings, offer, findings)
        kept = {"stamp": weights_stamp(offer), **asdict(found), "forecast": found.forecast.to_document()}
        findings.capabilities[offer.info.name] = json.dumps(kept)
        side = smallest_px(offer)
        typer.echo(f"{offer.info.name}: checked")
        for title, value in (
            ("draws", f"{', '.join(offer.info.tasks)} at {side} x {side} px, its smallest"),
            ("batches", f"{found.batch}"),
            ("resumes", f"{found.resume}"),
            ("exclusive", "yes, one run at a time" if found.exclusive else "no"),
            ("difference", f"{found.difference:g} of 255 levels to the stock pipeline"),
            ("reasons", "; ".join(found.reasons) or "none"),
            *((speed, describe_trial(trial)) for speed, trial in found.forecast.trials().items()),
        ):
            typer.echo(f"  {title:<11} {value}")


@app.command()
def describe(models: Listed = None, model: One = None) -> None:
    """Write what only diffusers' classes tell into each model's `mezzotint.json`: a gateway without them reads it."""
    with report_errors():
        for offer in find_models(read_settings(models=models, model=model)):
            if offer.checkpoint is not None:
                raise ArgumentInvalid(f"{offer.checkpoint} is a single file: `mezzotint models import` makes a folder")
            try:
                is_new = write_card(offer.folder)
            except OSError as error:
                raise OutputUnwritable(f"{offer.folder / files.CARD}: {error.strerror}") from error
            typer.echo(f"{offer.folder / files.CARD}: {'written' if is_new else 'complete'}")


@app.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(help="The model, a .safetensors file.")],
    out: Annotated[Path, typer.Option(help="The folder to write; it must not be there yet.")],
    like: Like = None,
) -> None:
    """Write a single file as a diffusers folder, checked, once: it loads without conversion, and can be quantised."""
    from mezzotint.engine.models.import_file import import_file as run

    with report_errors():
        settings = read_settings(like=like)
        folder, checkpoint = find_place(str(file), None, settings.like)
        if checkpoint is None:
            raise ArgumentInvalid(f"{file} is not a single file")
        check_files(settings, folder, checkpoint)
        run(checkpoint, folder, out, typer.echo)


def pick_model(offers: tuple[ServedModel, ...], name: str | None) -> ServedModel:
    """Raises: NotKnown."""
    found = offers[0] if name is None else next((offer for offer in offers if offer.info.name == name), None)
    if found is None:
        raise NotKnown(
            f"there is no model {name!r}; served: {', '.join(offer.info.name for offer in offers)}", "models list"
        )
    return found


def self_test_model(settings: Settings, offer: ServedModel, findings: Findings) -> "Capabilities":
    from mezzotint.engine import self_test

    catalog = build_catalog(settings, [offer], findings)
    catalog.prepare()
    loaded = catalog.load(offer.info.name, lambda share: None)
    draw_smallest(loaded, offer)
    hub = loaded.hub

    def request(number: int) -> dict[str, Any]:
        return sample_request(hub.pipeline, offer, seed=number, num_steps=STEPS[number])

    numerics = hub.numerics
    return self_test(
        hub.pipeline,
        lambda: (request(0), request(1)),
        exact=numerics.exact,
        fixed_rows=numerics.fixed_rows,
        verdicts=findings.verdicts,
        samples=lambda: [
            sample_request(hub.pipeline, offer, seed=i, num_steps=offer.info.default_steps, example=i)
            for i in range(NUM_SAMPLES)
        ],
    )


def describe_trial(trial: "Trial | None") -> str:
    if trial is None:
        return "makes every pass: no bound reaches its quality, or none saves a tenth"
    return f"leaves out {trial.saved:.0%} of the passes, {trial.psnr_db:.1f} dB ({trial.worst_db:.1f} at worst)"


def read_findings(known: Any, offer: ServedModel) -> dict[str, Any] | None:
    """The findings of an earlier check of the same weights; None where they have changed since."""
    try:
        found: dict[str, Any] = json.loads(known.get(offer.info.name, ""))
        is_current = found["stamp"] == weights_stamp(offer) and {"batch", "resume", "exclusive"} <= found.keys()
    except (ValueError, TypeError, KeyError):
        return None
    return found if is_current else None


def weights_stamp(offer: ServedModel) -> str:
    """By which changed weights are noticed without reading them."""
    files = sorted(offer.folder.rglob("*.safetensors")) + ([offer.checkpoint] if offer.checkpoint else [])
    files += offer.added.files
    return " ".join(f"{file.stat().st_size}:{file.stat().st_mtime_ns}" for file in files)


def choose_speeds(settings: Settings, offers: Sequence[ServedModel]) -> tuple[ServedModel, ...]:
    """The models with their speeds. Bounds are the entry's, else those that `mezzotint models check` found in this data
    folder under today's rule, else the card's."""
    known = Findings.of(settings.data).capabilities
    return tuple(_choose_speeds(offer, read_findings(known, offer)) for offer in offers)


def _choose_speeds(offer: ServedModel, findings: dict[str, object] | None) -> ServedModel:
    found = offer.info.forecast
    if findings is not None and is_current(findings.get("forecast")):
        calibration = Calibration.from_document(findings["forecast"])
        settings = {speed: calibration.settings(speed.value) for speed in Speed}
        found = ForecastPolicy(bounds={speed: one.bound for speed, one in settings.items() if one is not None})
    policy = found if offer.entry.forecast is None else offer.entry.forecast.policy(found)
    return replace(offer, info=replace(offer.info, forecast=policy))
