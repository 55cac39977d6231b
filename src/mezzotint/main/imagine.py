"""`mezzotint imagine`: one picture, drawn here or by a server."""

import asyncio
import json
import os
import secrets
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from mezzotint.actions.screen import find_refusal
from mezzotint.config import Settings
from mezzotint.domain.drawing.prompt_weights import strip_weights
from mezzotint.domain.drawing.recipe import Recipe
from mezzotint.domain.errors import ImageBlocked, MezzotintError, OutputUnwritable, RunFailed, ServerUnreachable
from mezzotint.domain.ids import TenantId
from mezzotint.domain.job import JobState, Parameters
from mezzotint.domain.refusal import Refusal
from mezzotint.domain.tier import Tier
from mezzotint.main.drawing.served_styles import ServedStyle, find_styles, group_files
from mezzotint.main.models import choose_speeds
from mezzotint.main.options import ExitCode
from mezzotint.main.served_models import ServedModel, build_catalog, find_models
from mezzotint.policy.admission.admit import NUM_SEEDS, Terms, admit
from mezzotint.policy.admission.prompt import parse_request
from mezzotint.policy.admission.request import JobRequest
from mezzotint.policy.safety.verdicts import SafetyVerdict

if TYPE_CHECKING:
    from mezzotint.engine import Run
    from mezzotint.safety.image.postfilter import PostFilter

HERE = TenantId("here")
SUFFIXES = (".png", ".webp")
TOKEN_HINT = "Pass --token, or set MEZZOTINT_TOKEN; the server's operator makes one with `mezzotint token`."


def imagine(settings: Settings, prompt: str, out: Path, server: str | None) -> int:
    """Draw and write the file. Returns the exit code. Raises: StartError."""
    if out.suffix.lower() not in SUFFIXES:
        raise OutputUnwritable(f"{out} must end in .png or .webp")
    if not out.parent.is_dir():
        raise OutputUnwritable(f"the folder {out.parent} does not exist")
    if server is not None:
        return _draw_by_server(settings, prompt, out, server.rstrip("/"))
    return _draw_here(settings, prompt, out)


def _draw_here(settings: Settings, prompt: str, out: Path) -> int:
    from mezzotint.main.filters.text_screen import build_text_filter
    from mezzotint.media.metadata import SOFTWARE
    from mezzotint.safety.image.loading import load_postfilter
    from mezzotint.safety.policy_file import load_policy

    offers = choose_speeds(settings, find_models(settings))
    models = [offer.info for offer in offers]
    styles = find_styles(settings, offers)
    terms = Terms(
        tier=Tier.PRO,
        models=models,
        styles=[style.info for style in styles],
        num_open_jobs=0,
        fresh_seed=secrets.randbelow(NUM_SEEDS),
    )
    decision = admit(parse_request(JobRequest(prompt=prompt)), terms)
    if isinstance(decision, Refusal):
        return _print_error(ExitCode.REFUSED, decision.message, decision.hint, decision.code)
    offer = next(offer for offer in offers if offer.info is decision.model)
    wanted = [plan.parameters for plan in decision.plans]
    if refusal := asyncio.run(_screen(settings, wanted)):
        return _print_error(ExitCode.REFUSED, refusal.message, refusal.hint, refusal.code)
    runs = _draw(settings, offer, styles, wanted)
    policy = load_policy(settings.safety_policy)
    image_filter = load_postfilter(policy, load_judge=lambda: build_text_filter(settings).judge)
    sign = _find_signing(settings, offer)
    codes = []
    for run, parameters, path in zip(runs, wanted, output_paths(out, len(runs)), strict=True):
        recipe = Recipe.of(parameters, offer.info.name, SOFTWARE)
        codes.append(_save_picture(run, recipe, path, image_filter, partial(sign, parameters)))
    return max(codes)


async def _screen(settings: Settings, wanted: Sequence[Parameters]) -> Refusal | None:
    from mezzotint.main.filters.text_screen import build_screen, build_text_filter

    screen = build_screen(settings, build_text_filter(settings))
    try:
        texts = [(strip_weights(one.prompt), strip_weights(one.negative_prompt)) for one in wanted]
        screened = await screen.screen_texts(texts, HERE, Tier.PRO)
    finally:
        await screen.close()
    return find_refusal(screened)


def _draw(
    settings: Settings, offer: ServedModel, styles: Sequence[ServedStyle], wanted: Sequence[Parameters]
) -> "list[Run]":
    """All pictures, together."""
    with _bar() as bar:
        task = bar.add_task("loading the model", total=sum(parameters.num_sampled for parameters in wanted))
        catalog = build_catalog(settings, [offer], styles=group_files(styles))
        catalog.prepare()
        loaded = catalog.load(
            offer.info.name, lambda share: bar.update(task, description=f"loading the model, {share:.0%}")
        )
        bar.update(task, description="drawing")
        from mezzotint.engine import ForecastSettings

        for parameters in wanted:
            loaded.fetch_styles(parameters.styles)

        runs = [
            loaded.hub.submit(
                assigned.kwargs,
                pipeline=assigned.pipeline,
                stop_after=parameters.num_sampled if parameters.stop is not None else None,
                forecast=ForecastSettings(bound=bound) if (bound := parameters.forecast) is not None else None,
                on_step=lambda run: bar.advance(task),
                adapters={style.name: style.weight for style in parameters.styles},
            )
            for parameters in wanted
            for assigned in [loaded.tasks.assign(parameters, None, None)]
        ]
        while loaded.hub.turn():
            pass
    return runs


def _find_signing(settings: Settings, offer: ServedModel) -> Callable[[Parameters, bytes], bytes]:
    """A function that signs where there are certificates already. Raises: SettingInvalid."""
    from mezzotint.main.provenance.signing import find_signer
    from mezzotint.provenance.manifest import Model, describe_drawing
    from mezzotint.provenance.model_hash import hash_parts

    signer = find_signer(settings, makes_authority=False)
    if signer is None:
        return lambda parameters, data: data
    model = Model(name=offer.info.name, sha256=hash_parts(offer.places, {}))
    at = datetime.now(UTC)
    return lambda parameters, data: signer.sign(data, describe_drawing(parameters, model, at))


def _save_picture(
    run: "Run", recipe: Recipe, out: Path, image_filter: "PostFilter", sign: Callable[[bytes], bytes]
) -> int:
    if isinstance(run.error, MezzotintError):
        raise run.error
    if run.error is not None:
        raise RunFailed(f"the model could not carry out the request: {run.error}") from run.error
    picture = run.output.images[0]
    verdict = image_filter.check(picture, Tier.PRO)
    if verdict.is_withheld:
        message = "The finished picture did not pass the image filter."
        return _print_error(ExitCode.BLOCKED, message, ImageBlocked.hint, ImageBlocked.code)
    from mezzotint.media import blur_picture, encode
    from mezzotint.media.metadata import embed_recipe

    is_blurred = verdict.verdict is SafetyVerdict.BLUR
    files = encode(blur_picture(picture) if is_blurred else picture)
    data = embed_recipe(files.png if out.suffix.lower() == ".png" else files.webp, recipe)
    write(out, sign(data))
    told = "  blurred by the image filter" if is_blurred else ""
    print(f"{out}  {picture.width} x {picture.height} px  seed {recipe.seed}{told}")  # noqa: T201
    return ExitCode.DONE


def output_paths(out: Path, num_pictures: int) -> list[Path]:
    """The files of the pictures: `out` itself, or `out-1`, `out-2` ... where there are several."""
    if num_pictures == 1:
        return [out]
    return [out.with_stem(f"{out.stem}-{number}") for number in range(1, num_pictures + 1)]


def _draw_by_server(settings: Settings, prompt: str, out: Path, server: str) -> int:
    try:
        with httpx.Client(base_url=server, timeout=60) as client:
            token = settings.token.get_secret_value() if settings.token else None
            if token is None:
                answer = client.post("/v1/session")  # only a development server hands a token out
                token = str(answer.json()["token"]) if answer.status_code == 200 else None
            if token is None:
                return _print_error(ExitCode.UNAUTHORIZED, "The server wants a token.", TOKEN_HINT, "token_missing")
            client.headers["Authorization"] = f"Bearer {token}"
            jobs: list[dict[str, Any]] | None = None
            try:
                answer = client.post("/v1/jobs", json={"prompt": prompt, "new": True})
                if answer.status_code != 202:
                    return _report_refusal(answer)
                jobs = answer.json()["jobs"]
                paths = output_paths(out, len(jobs))
                return max(_fetch(client, job, path) for job, path in zip(jobs, paths, strict=True))
            except KeyboardInterrupt:
                _cancel(client, jobs)
                raise
    except (httpx.HTTPError, ValueError, KeyError) as error:
        raise ServerUnreachable(f"{server}: {error or type(error).__name__}") from error


def _report_refusal(answer: httpx.Response) -> ExitCode:
    error = answer.json()["error"]
    match answer.status_code:
        case 401:
            return _print_error(ExitCode.UNAUTHORIZED, error["message"], TOKEN_HINT, error["code"])
        case status if status >= 500:
            return _print_error(ExitCode.FAILED, error["message"], error["hint"], error["code"])
        case _:
            return _print_error(ExitCode.REFUSED, error["message"], error["hint"], error["code"])


def _cancel(client: httpx.Client, jobs: Sequence[dict[str, Any]] | None) -> None:
    """Cancel what is still open, and say what goes on. jobs: None while the server has not answered."""
    if jobs is None:
        print("mezzotint: the job goes on if the server took it: GET /v1/jobs lists it", file=sys.stderr)  # noqa: T201
        return
    for job in jobs:
        try:
            answer = client.delete(f"/v1/jobs/{job['id']}", timeout=5)
            is_ended = answer.is_success or answer.status_code == 409
        except httpx.HTTPError:
            is_ended = False
        told = "cancelled" if is_ended else "goes on: the server could not be told"
        print(f"mezzotint: job {job['id']} {told}", file=sys.stderr)  # noqa: T201


def _fetch(client: httpx.Client, job: dict[str, Any], out: Path) -> int:
    job = follow_job(client, job)
    if not JobState(job["state"]).is_final:
        hint = f"The job goes on there: GET /v1/jobs/{job['id']} tells its state."
        return _print_error(ExitCode.FAILED, "The server ended the connection.", hint, "server_stopping")
    if job["state"] != JobState.SUCCEEDED:
        error = job["error"] or {"message": f"The job was {job['state']}.", "hint": "", "code": job["state"]}
        code = ExitCode.BLOCKED if job["state"] == JobState.BLOCKED else ExitCode.FAILED
        return _print_error(code, error["message"], error["hint"], error["code"])
    image = job["images"][0]
    data = client.get(f"/v1/jobs/{job['id']}/files/0{out.suffix.lower()}")
    data.raise_for_status()
    write(out, data.content)
    print(f"{out}  {image['width']} x {image['height']} px  seed {image['seed']}")  # noqa: T201
    return ExitCode.DONE


def follow_job(client: httpx.Client, job: dict[str, Any]) -> dict[str, Any]:
    """Show the job's progress until it ends. Returns its last state."""
    name = ""
    with _bar() as bar, client.stream("GET", f"/v1/jobs/{job['id']}/events", timeout=None) as stream:
        stream.raise_for_status()
        task = bar.add_task(job["state"], total=job["num_steps"])
        for line in stream.iter_lines():
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: "):
                data = json.loads(line.removeprefix("data: "))
                job = job if name in {"progress", "loading"} else data
                state = f"loading the model, {data['share']:.0%}" if name == "loading" else job["state"]
                bar.update(task, completed=data.get("step"), description=state)
    return job


def _bar() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("steps"))
    return Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True))


def write(out: Path, data: bytes) -> None:
    """Write the whole file or nothing. Raises: OutputUnwritable."""
    aside = out.with_name(f".{out.name}.{secrets.token_hex(4)}")
    try:
        with aside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(out)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise OutputUnwritable(f"{out} cannot be written: {error.strerror}") from error


def _print_error(code: ExitCode, message: str, hint: str, name: str) -> ExitCode:
    print(f"mezzotint: {message}\n  {hint}  [{name}]", file=sys.stderr)  # noqa: T201
    return code
