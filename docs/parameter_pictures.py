"""Draws `docs/images/parameters/`: what each prompt parameter did on the starter model. `docs/build.py` makes the table
beside them from the same list.

python docs/parameter_pictures.py [PARAMETER ...]
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mezzotint.domain.ids import Sha256
from mezzotint.domain.model import ModelInfo
from mezzotint.domain.style import StyleInfo
from mezzotint.domain.task import Source, Task
from mezzotint.domain.tier import Tier
from mezzotint.policy.admission.admit import Admit, Plan, Terms, admit
from mezzotint.policy.admission.prompt import parse_request
from mezzotint.policy.admission.request import JobRequest

if TYPE_CHECKING:
    from PIL import Image

FOLDER = Path(__file__).parent / "images" / "parameters"
SOURCE = "a red apple --seed 7"
"""What the pictures of `--iw` begin with; it stands first in their row."""
ZOOM, GAP_PX = 2, 8
FRESH_SEED = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Prompts whose pictures stand side by side. has_source: they are variations of SOURCE."""

    prompts: tuple[str, ...]
    has_source: bool = False


ROWS = {
    "ar": Row(prompts=tuple(f"a red apple --seed 7 --ar {shape}" for shape in ("1:1", "3:2", "1:2"))),
    "chaos": Row(prompts=("a green heart --seed 3 --repeat 4 --chaos 100",)),
    "clip-skip": Row(prompts=tuple(f"a blue fish --seed 11 --clip-skip {layer}" for layer in (1, 2, 3))),
    "draft": Row(prompts=("an orange cat face --seed 2", "an orange cat face --seed 2 --draft")),
    "eta": Row(prompts=tuple(f"a robot --seed 3 --steps 20 --eta {eta}" for eta in ("0", ".5", "1"))),
    "iw": Row(prompts=tuple(f"a blue fish --seed 1 --iw {iw}" for iw in ("0", ".5", "1", "2", "3")), has_source=True),
    "no": Row(prompts=("a flower --seed 4", "a flower --seed 4 --no red, pink")),
    "quality": Row(
        prompts=tuple(f"a rocket --seed 5 --quality {quality}" for quality in (".1", ".25", ".5", "1", "2"))
    ),
    "repeat": Row(prompts=("a blue car --seed 3 --repeat 4",)),
    "rescale": Row(
        prompts=tuple(f"a slice of pizza --seed 4 --stylize 1000 --rescale {share}" for share in ("0", ".5", "1"))
    ),
    "sampler": Row(
        prompts=tuple(f"a robot --seed 3 --steps 6 --sampler {name}" for name in ("DDIM", "Euler a", "UniPC"))
    ),
    "seed": Row(prompts=tuple(f"a red apple --seed {seed}" for seed in (7, 8, 9))),
    "speed": Row(prompts=tuple(f"a rocket --seed 5 --speed {speed}" for speed in ("exact", "balanced", "fast"))),
    "steps": Row(prompts=tuple(f"the sun --seed 4 --steps {steps}" for steps in (2, 5, 10, 30))),
    "stop": Row(prompts=tuple(f"a rocket --seed 5 --stop {stop}" for stop in (10, 20, 40, 70, 100))),
    "style": Row(
        prompts=tuple(f"a dog face --seed 2{style}" for style in ("", " --style woodcut:.5", " --style woodcut"))
    ),
    "stylize": Row(prompts=tuple(f"a blue fish --seed 11 --stylize {stylize}" for stylize in (0, 50, 100, 400, 1000))),
    "version": Row(prompts=("a red apple --seed 7 --version mezzotint-starter",)),
}
"""By parameter."""


def plans(row: Row, model: ModelInfo, styles: Sequence[StyleInfo]) -> list[Plan]:
    """The pictures of a row, by the admission that requests go through."""
    source = Source(content=Sha256("0" * 64), width=model.native_width, height=model.native_height)
    found: list[Plan] = []
    for prompt in row.prompts:
        request = JobRequest(prompt=prompt, is_plain=True)
        if row.has_source:
            request = replace(request, task=Task.VARIATION, source=source.content)
        found_source = source if row.has_source else None
        terms = Terms(
            tier=Tier.PRO,
            models=[model],
            styles=styles,
            num_open_jobs=0,
            fresh_seed=FRESH_SEED,
            source=found_source,
        )
        decision = admit(parse_request(request), terms)
        if not isinstance(decision, Admit):
            raise SystemExit(f"{prompt}: {decision.message}")
        found += decision.plans
    return found


def draw(names: Sequence[str]) -> None:
    """Rows, in shared passes. names: of their parameters; none: all."""
    from mezzotint.config import read_settings
    from mezzotint.engine import Hub, Tasks
    from mezzotint.engine.models import load
    from mezzotint.main.drawing.served_styles import find_styles
    from mezzotint.main.served_models import find_models

    settings = read_settings()
    (offer,) = find_models(settings)
    model, found = offer.info, find_styles(settings, [offer])
    styles = [style.info for style in found]
    tasks = Tasks(load.load_pipeline(offer.folder, "cpu"))
    hub = Hub(tasks.pipeline)
    for style in found:
        hub.loras.load(style.info.name, style.path)
    (first,) = plans(Row(prompts=(SOURCE,)), model, styles)
    source = _finished(hub, [_submit(hub, tasks, first, None)])[0]
    submitted = {
        name: [_submit(hub, tasks, plan, source if row.has_source else None) for plan in plans(row, model, styles)]
        for name, row in ROWS.items()
        if not names or name in names
    }
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, runs in submitted.items():
        pictures = _finished(hub, runs)
        data = strip([source, *pictures] if ROWS[name].has_source else pictures)
        (FOLDER / f"{name}.webp").write_bytes(data)


def strip(pictures: "list[Image.Image]") -> bytes:
    """The pictures side by side on white, enlarged, as WebP."""
    from PIL import Image

    large = [
        picture.resize((picture.width * ZOOM, picture.height * ZOOM), Image.Resampling.LANCZOS) for picture in pictures
    ]
    width = sum(picture.width for picture in large) + GAP_PX * (len(large) - 1)
    row = Image.new("RGB", (width, max(picture.height for picture in large)), "white")
    left = 0
    for picture in large:
        row.paste(picture, (left, 0))
        left += picture.width + GAP_PX
    buffer = BytesIO()
    row.save(buffer, "WEBP", quality=85)
    return buffer.getvalue()


def _submit(hub: Any, tasks: Any, plan: Plan, source: Any) -> Any:
    from mezzotint.engine import ForecastSettings

    parameters = plan.parameters
    assigned = tasks.assign(parameters, source, None)
    stop_after = parameters.num_sampled if parameters.stop is not None else None
    adapters = {style.name: style.weight for style in parameters.styles}
    forecast = ForecastSettings(bound=bound) if (bound := parameters.forecast) is not None else None
    return hub.submit(
        assigned.kwargs,
        pipeline=assigned.pipeline,
        stop_after=stop_after,
        adapters=adapters,
        forecast=forecast,
    )


def _finished(hub: Any, runs: list[Any]) -> list[Any]:
    while not all(run.done for run in runs):
        hub.turn()
    for run in runs:
        if run.error is not None:
            raise run.error
    return [run.output.images[0] for run in runs]


if __name__ == "__main__":
    draw(sys.argv[1:])
