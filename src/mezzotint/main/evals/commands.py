"""`mezzotint eval`: one command an evaluation, and `accept`."""

from pathlib import Path
from typing import Annotated

import typer

from mezzotint.config import Settings, read_settings
from mezzotint.evals.result import Suite
from mezzotint.main.evals.finish import EvalRun, finish
from mezzotint.main.options import Data, report_errors, setting_option

app = typer.Typer(help="Measure the filters and the models, and hold the figures against gates.", no_args_is_help=True)
Out = Annotated[Path | None, typer.Option(help="Folder of the results; default: `evals` in the data folder.")]
GatesFile = Annotated[
    Path | None, typer.Option("--gates", help="TOML file of gates that replace built-in ones, figure by figure.")
]
Limit = Annotated[int | None, typer.Option(min=1, help="At most this many rows of each set, evenly from all of it.")]
Extra = Annotated[list[Path] | None, typer.Option(help="A labelled CSV file to measure, too; may be given again.")]
Reference = Annotated[
    str | None,
    typer.Option(help="Name of the --extra file whose harmless rows fix the false-positive rates; default: all."),
]
RulesFile = Annotated[Path | None, setting_option("prefilter_rules", "The operator's file of hard rules.", "--rules")]
Model = Annotated[str | None, setting_option("model", "'starter', a diffusers folder, or a hub id.")]
Models = Annotated[Path | None, setting_option("models", "TOML file of several models; the first is measured.")]
OnDevice = Annotated[str | None, setting_option("device", "Where the model runs: auto, cpu, cuda, or cuda:1.")]
Steps = Annotated[int | None, typer.Option(min=1, max=1000, help="Steps of each picture; default: the model's.")]
Guidance = Annotated[float | None, typer.Option(min=0, max=50, help="Guidance scale; default: the model's.")]
Clip = Annotated[
    str | None, typer.Option(help="A CLIP or SigLIP model, folder or hub id; default: the built-in aligner.")
]
PicturesFile = Annotated[
    Path | None, typer.Option("--pictures", help="CSV file (file, prompt) of pictures to measure; default: draw some.")
]


@app.command()
def safety(
    extra: Extra = None,
    reference: Reference = None,
    rules: RulesFile = None,
    limit: Limit = None,
    out: Out = None,
    gates: GatesFile = None,
    data: Data = None,
) -> None:
    """Run the golden prompts, and others by path, through the text filter. Exit code 6: a gate failed."""
    from mezzotint.main.evals.run_safety import run_safety

    with report_errors():
        run = _open_run(read_settings(data=data, prefilter_rules=rules), out, gates)
        raise typer.Exit(finish(run, [run_safety(run.settings, extra or (), reference=reference, limit=limit)]))


@app.command()
def injection(
    week: Annotated[str | None, typer.Option(help="ISO week of the set, such as 2026-W48; default: this one.")] = None,
    rules: RulesFile = None,
    limit: Limit = None,
    out: Out = None,
    gates: GatesFile = None,
    data: Data = None,
) -> None:
    """Run the week's injections, and those of earlier weeks again, through the text filter. Exit code 6: a gate failed.

    A ledger beside the results keeps the week in which each pattern was first caught.
    """
    from mezzotint.main.evals.run_injection import run_injection

    with report_errors():
        run = _open_run(read_settings(data=data, prefilter_rules=rules), out, gates)
        raise typer.Exit(finish(run, [run_injection(run, week, limit)]))


@app.command()
def regression(
    model: Model = None,
    models: Models = None,
    device: OnDevice = None,
    steps: Steps = None,
    guidance: Guidance = None,
    limit: Limit = None,
    out: Out = None,
    gates: GatesFile = None,
    data: Data = None,
) -> None:
    """Draw fixed prompts with fixed seeds and compare with the accepted pictures. Exit code 6: a gate failed."""
    from mezzotint.main.evals.draw import DrawChoices, draw_pictures
    from mezzotint.main.evals.run_pictures import run_regression

    with report_errors():
        settings = read_settings(data=data, model=model, models=models, device=device)
        run = _open_run(settings, out, gates)
        choices = DrawChoices(num_steps=steps, guidance_scale=guidance, limit=limit)
        raise typer.Exit(finish(run, [run_regression(run, draw_pictures(settings, choices))]))


@app.command()
def alignment(
    pictures: PicturesFile = None,
    clip: Clip = None,
    model: Model = None,
    models: Models = None,
    device: OnDevice = None,
    steps: Steps = None,
    guidance: Guidance = None,
    limit: Limit = None,
    out: Out = None,
    gates: GatesFile = None,
    data: Data = None,
) -> None:
    """Score whether pictures, drawn for it or your own, show their prompts. Exit code 6: a gate failed."""
    from mezzotint.main.evals.draw import DrawChoices, get_pictures
    from mezzotint.main.evals.run_alignment import run_alignment

    with report_errors():
        settings = read_settings(data=data, model=model, models=models, device=device)
        run = _open_run(settings, out, gates)
        choices = DrawChoices(num_steps=steps, guidance_scale=guidance, limit=limit, file=pictures)
        raise typer.Exit(finish(run, [run_alignment(run, get_pictures(settings, choices), clip)]))


@app.command()
def calibrate(
    labels: Annotated[Path, typer.Option(help="CSV file (file, prompt, label) of pictures; label: 1 shows it, 0 not.")],
    clip: Clip = None,
    limit: Limit = None,
    out: Out = None,
    data: Data = None,
) -> None:
    """Find the score from which a picture shows its prompt; `eval alignment` with the same --out uses it."""
    from mezzotint.main.evals.run_alignment import run_calibration

    with report_errors():
        run = _open_run(read_settings(data=data), out, None)
        raise typer.Exit(finish(run, [run_calibration(labels, clip, limit)]))


@app.command()
def aesthetic(
    pictures: PicturesFile = None,
    grades: Annotated[str | None, typer.Option(help="Column of --pictures with people's grades from 1 to 5.")] = None,
    judge: Annotated[str | None, typer.Option(help="OpenAI-compatible endpoint, such as http://host/v1.")] = None,
    judge_model: Annotated[str, typer.Option(help="The judge's model: one that takes pictures.")] = "",
    votes: Annotated[int, typer.Option(min=1, max=20, help="Votes on each picture.")] = 3,
    clip: Annotated[str | None, typer.Option(help="A CLIP model, folder or hub id, for --head.")] = None,
    head: Annotated[Path | None, typer.Option(help="Weights of a linear aesthetic head over --clip.")] = None,
    model: Model = None,
    models: Models = None,
    device: OnDevice = None,
    steps: Steps = None,
    guidance: Guidance = None,
    limit: Limit = None,
    out: Out = None,
    gates: GatesFile = None,
    data: Data = None,
) -> None:
    """Grade pictures, drawn for it or your own: by a judge, a linear head, statistics. Exit code 6: a gate failed."""
    from mezzotint.main.evals.draw import DrawChoices, get_pictures
    from mezzotint.main.evals.run_pictures import Graders, run_aesthetic

    with report_errors():
        settings = read_settings(data=data, model=model, models=models, device=device)
        run = _open_run(settings, out, gates)
        choices = DrawChoices(num_steps=steps, guidance_scale=guidance, limit=limit, file=pictures, score=grades)
        graders = Graders(judge=judge, judge_model=judge_model, num_votes=votes, clip=clip, head=head)
        raise typer.Exit(finish(run, [run_aesthetic(run, get_pictures(settings, choices), graders)]))


@app.command()
def images(
    pictures: Annotated[
        Path,
        typer.Option(help="CSV file (file, label: safe or anything else; category) of pictures, the files beside it."),
    ],
    limit: Limit = None,
    out: Out = None,
    gates: GatesFile = None,
    data: Data = None,
) -> None:
    """Run labelled pictures of your own through the image filter. Exit code 6: a gate failed."""
    from mezzotint.main.evals.run_pictures import run_images

    with report_errors():
        run = _open_run(read_settings(data=data), out, gates)
        raise typer.Exit(finish(run, [run_images(run, pictures, limit)]))


@app.command()
def latency(
    model: Model = None,
    models: Models = None,
    device: OnDevice = None,
    limit: Annotated[int, typer.Option(min=2, max=10_000, help="How often each stage is timed.")] = 100,
    out: Out = None,
    gates: GatesFile = None,
    data: Data = None,
) -> None:
    """Time the stages of a request on this machine: text filter, queue, steps, image filter, files."""
    from mezzotint.main.evals.run_latency import run_latency

    with report_errors():
        run = _open_run(read_settings(data=data, model=model, models=models, device=device), out, gates)
        raise typer.Exit(finish(run, [run_latency(run.settings, limit)]))


@app.command()
def costs(
    days: Annotated[int, typer.Option(min=1, max=3650, help="Of the ledger, back from now.")] = 30,
    adversarial: Annotated[float, typer.Option(min=0, max=1, help="Share of requests that are unsafe.")] = 0.02,
    out: Out = None,
    gates: GatesFile = None,
    data: Data = None,
) -> None:
    """Price the filters' decisions in GPU-seconds, from the ledger and the last `eval safety` of the same folder."""
    from mezzotint.main.evals.run_costs import run_costs

    with report_errors():
        run = _open_run(read_settings(data=data), out, gates)
        raise typer.Exit(finish(run, [run_costs(run, days, adversarial)]))


@app.command("all")
def run_all(
    extra: Extra = None,
    reference: Reference = None,
    rules: RulesFile = None,
    model: Model = None,
    models: Models = None,
    device: OnDevice = None,
    steps: Steps = None,
    guidance: Guidance = None,
    limit: Limit = None,
    out: Out = None,
    gates: GatesFile = None,
    data: Data = None,
) -> None:
    """Every evaluation that needs nothing but this package, and one report of all. Exit code 6: a gate failed."""
    from mezzotint.main.evals.draw import DrawChoices
    from mezzotint.main.evals.run_all import run_all as run_suites

    with report_errors():
        settings = read_settings(data=data, prefilter_rules=rules, model=model, models=models, device=device)
        run = _open_run(settings, out, gates)
        choices = DrawChoices(num_steps=steps, guidance_scale=guidance, limit=limit)
        raise typer.Exit(finish(run, run_suites(run, choices, extra or (), reference), "all"))


@app.command()
def accept(
    suite: Annotated[Suite, typer.Argument(help="The evaluation whose last run later ones are compared with.")],
    out: Out = None,
    data: Data = None,
) -> None:
    """Keep the last run as the accepted one."""
    with report_errors():
        run = _open_run(read_settings(data=data), out, None)
        typer.echo(f"accepted: {run.folder.accept(suite)}")


def _open_run(settings: Settings, out: Path | None, gates: Path | None) -> EvalRun:
    return EvalRun.open(settings, out or settings.data / "evals", gates)
