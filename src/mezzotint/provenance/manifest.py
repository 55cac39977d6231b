"""Manifests: the claims about a picture, as the C2PA library takes them.

A picture's address is public, so a manifest holds nothing private unless the tenant wants it to: no prompt, no seed, no
tenant. Source of the actions and of the source types: C2PA 2.2, 19.14 and 19.15; IPTC's digital source types.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from mezzotint import __version__
from mezzotint.domain.ids import JobId
from mezzotint.domain.job import Job, Parameters
from mezzotint.domain.task import Task

GENERATION = "org.mezzotint.generation"
"""Label of the assertion that names the job, the model and, if the tenant wishes, the prompt."""
IPTC = "http://cv.iptc.org/newscodes/digitalsourcetype/"
SOURCE = "source"
MIN_MARKED_PX = 256
"""Sides that an invisible mark needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """sha256: of the weights, see `hash_weights`; None: not known to this process."""

    name: str
    sha256: str | None


def describe_job(
    job: Job, model: Model, at: datetime, *, shows_prompt: bool, is_marked: bool = False
) -> dict[str, Any]:
    """The manifest of a job's pictures.

    at: when they were made. shows_prompt: whether it tells the whole recipe. is_marked: whether pictures that are large
    enough bear an invisible mark.
    """
    manifest = describe_drawing(job.parameters, model, at, job=job.id, shows_prompt=shows_prompt)
    if is_marked and min(job.parameters.width, job.parameters.height) >= MIN_MARKED_PX:
        manifest["assertions"][0]["data"]["actions"].append({"action": "c2pa.watermarked", "when": _write_instant(at)})
    return manifest


def describe_drawing(
    parameters: Parameters, model: Model, at: datetime, *, job: JobId | None = None, shows_prompt: bool = False
) -> dict[str, Any]:
    """The manifest of a picture. job: None where it was drawn by itself."""
    facts: dict[str, Any] = {"task": parameters.task.value, "model": {"name": model.name}}
    if job is not None:
        facts["job"] = job
    if model.sha256 is not None:
        facts["model"]["sha256"] = model.sha256
    if parameters.styles:
        facts["styles"] = [
            {"name": style.name, "weight": style.weight, "sha256": style.sha256} for style in parameters.styles
        ]
    if parameters.forecast is not None:
        facts["speed"] = parameters.speed.value
    if shows_prompt:
        facts["recipe"] = {
            "prompt": parameters.prompt,
            "negative_prompt": parameters.negative_prompt,
            "seed": parameters.seed,
            "steps": parameters.num_steps,
            "guidance_scale": parameters.guidance_scale,
        }
    action, kind = ACTIONS[parameters.task]
    last = {
        "action": action,
        "when": _write_instant(at),
        "softwareAgent": {"name": model.name, **({} if model.sha256 is None else {"version": model.sha256})},
        "digitalSourceType": IPTC + kind,
    }
    if parameters.source is None:
        return _assemble([last], facts)
    facts["source"] = {"sha256": parameters.source}
    return _assemble([_open_source(), last], facts) | {"ingredients": [_describe_source(parameters.source)]}


def describe_variant(manifest: dict[str, Any], at: datetime) -> dict[str, Any] | None:
    """The manifest of a file made from a signed one: in another format, of another size, or with a text added.

    manifest: of the signed file, as the library reads it. None where it is not one of this program's.
    """
    found = {one["label"]: one["data"] for one in manifest.get("assertions", []) if "data" in one}
    facts, actions = found.get(GENERATION), found.get("c2pa.actions.v2", {}).get("actions")
    if not isinstance(facts, dict) or not isinstance(actions, list):
        return None
    kept = [_open_source() if one.get("action") == "c2pa.opened" else one for one in actions]
    variant = _assemble([*kept, {"action": "c2pa.transcoded", "when": _write_instant(at)}], facts)
    if "source" in facts:
        variant["ingredients"] = [_describe_source(facts["source"]["sha256"])]
    return variant


def _assemble(actions: list[dict[str, Any]], facts: dict[str, Any]) -> dict[str, Any]:
    return {
        "claim_generator_info": [{"name": "Mezzotint", "version": __version__}],
        "assertions": [
            {"label": "c2pa.actions.v2", "data": {"actions": actions}},
            {"label": GENERATION, "data": facts},
        ],
    }


def _write_instant(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _open_source() -> dict[str, Any]:
    return {"action": "c2pa.opened", "parameters": {"ingredientIds": [SOURCE]}}


def _describe_source(content: str) -> dict[str, Any]:
    """The ingredient names the source by its hash. Its own manifest stays in its own file: copied along, the manifests
    of a picture that was edited twenty times would be larger than the picture."""
    return {
        "title": f"{content}.png",
        "format": "image/png",
        "relationship": "parentOf",
        "instance_id": f"sha256:{content}",
        "label": SOURCE,
    }


ACTIONS = {
    Task.GENERATE: ("c2pa.created", "trainedAlgorithmicMedia"),
    Task.VARIATION: ("c2pa.edited", "compositeWithTrainedAlgorithmicMedia"),
    Task.INPAINT: ("c2pa.edited", "compositeWithTrainedAlgorithmicMedia"),
    Task.OUTPAINT: ("c2pa.edited", "compositeWithTrainedAlgorithmicMedia"),
    Task.EDIT: ("c2pa.edited", "compositeWithTrainedAlgorithmicMedia"),
    Task.UPSCALE: ("c2pa.resized", "algorithmicallyEnhanced"),
}
