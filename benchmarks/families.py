"""Serve a tiny random model of each family from a folder, as a user would, and compare it with the stock pipeline.

PYTHONPATH=. python benchmarks/families.py [FAMILY ...] [--out FILE]

Each family's folder is written by diffusers with text encoders and tokenizers, then found, checked, described, loaded
and drawn with by the code that serves models: once for each of its tasks at its smallest size, and by two requests
alone, together and resumed. What cannot be drawn with is refused, with the reason.
`difference` is the largest to the stock call's picture, in levels of 0..255.
"""

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from serve import hardware

from mezzotint.config import read_settings
from mezzotint.domain.errors import ModelUnsupported
from mezzotint.domain.task import Task
from mezzotint.engine import self_test
from mezzotint.engine.models.files import CARD
from mezzotint.engine.selftest import Batch, Resume
from mezzotint.engine.tasks import task_of
from mezzotint.main.drawing.trial_drawing import draw_smallest, smallest_px
from mezzotint.main.served_models import Findings, build_catalog, find_models, sample_request
from tests.conformance.engine.zoo.parts import seeded
from tests.making_models import FAMILIES

STEPS = (4, 3)
NATIVE_PX = 64
"""Said by a card: families that name no size of their own count as models of one megapixel."""


def serve_family(build: Callable[[], Any], folder: Path) -> dict[str, Any]:
    """Found, checked, loaded, drawn with and compared; raises what a server would say."""
    seeded(build)().save_pretrained(folder / "model", safe_serialization=True)
    (folder / "model" / CARD).write_text(json.dumps({"native_width": NATIVE_PX}))
    settings = read_settings(model=str(folder / "model"), data=folder / "data", device="cpu")
    (folder / "data").mkdir()
    (offer,) = find_models(settings)
    catalog = build_catalog(settings, [offer], Findings.of(settings.data))
    catalog.prepare()
    loaded = catalog.load(offer.info.name, lambda share: None)
    draw_smallest(loaded, offer)
    hub = loaded.hub

    def request(number: int, task: Task) -> dict[str, Any]:
        return sample_request(hub.pipeline, offer, seed=number, num_steps=STEPS[number], task=task)

    own = [task for task in (Task.GENERATE, Task.EDIT) if task in offer.info.tasks] or [task_of(hub.pipeline)]
    tests = [
        self_test(hub.pipeline, lambda task=task: (request(0, task), request(1, task)), exact=hub.numerics.exact)
        for task in own
    ]
    found = max(tests, key=lambda one: (one.batch is Batch.NO, one.resume is Resume.NO, one.difference))  # the worst
    return {
        "pipeline": type(hub.pipeline).__name__,
        "tasks": list(offer.info.tasks),
        "smallest_px": smallest_px(offer),
        "grid_px": offer.info.grid_px,
        "negative_prompt": offer.info.takes_negative_prompt,
        "batches": found.batch.value,
        "resumes": found.resume.value,
        "difference": found.difference,
        "reasons": list(found.reasons),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "families",
        nargs="*",
        metavar="FAMILY",
        help=f"of: {', '.join(FAMILIES)}; default: all; the others stay as the file has them",
    )
    parser.add_argument("--out", type=Path)
    wanted = parser.parse_args()
    torch.set_num_threads(1)
    result: dict[str, Any] = {"hardware": hardware(), "families": {}}
    if wanted.families and wanted.out is not None and wanted.out.exists():
        result["families"] = json.loads(wanted.out.read_text())["families"]
    for name in wanted.families or FAMILIES:
        with tempfile.TemporaryDirectory() as folder:
            try:
                found = serve_family(FAMILIES[name], Path(folder))
            except ModelUnsupported as error:
                found = {"refused": str(error).replace(folder, "")}
            except Exception as error:  # noqa: BLE001 - whatever the family's parts raise is the finding
                told = (str(error).strip() or type(error).__name__).splitlines()[0].replace(folder, "")
                found = {"fails": f"{type(error).__name__}: {told[:300]}"}
        result["families"][name] = found
        print(f"{name}: {json.dumps(found)}", flush=True)
        if wanted.out is not None:
            wanted.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
