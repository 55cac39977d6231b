"""Samplers and schedules as the AUTOMATIC1111 API names them: here a schedule is a part of a sampler's name."""

from collections.abc import Sequence

from mezzotint.domain.drawing.sampler import KARRAS, SCHEDULES, find_sampler, split_schedule
from mezzotint.gateway.automatic1111.schemas import SdScheduler

OWN = frozenset({"", "automatic", "use same scheduler"})
"""Words for the sampler's own schedule."""


def list_schedulers(offered: Sequence[str]) -> list[SdScheduler]:
    """The schedules that a request can choose. offered: names of the model's samplers."""
    there = {split_schedule(name)[1] for name in offered}
    return [
        SdScheduler(name="automatic", label="Automatic"),
        *(
            SdScheduler(
                name=to_api_name(schedule.name),
                label=schedule.name,
                default_rho=7.0 if schedule is KARRAS else None,
            )
            for schedule in SCHEDULES
            if schedule.name in there
        ),
    ]


def to_api_name(schedule: str) -> str:
    """The web UI's name in requests of what it shows as `SGM Uniform`: sgm_uniform."""
    return schedule.lower().replace(" ", "_")


def choose_sampler(name: str, schedule: str, offered: Sequence[str]) -> tuple[str | None, str]:
    """The model's sampler for a request, None for its own; and a comment where the schedule is ignored.

    Clients choose a schedule once for all models, so that one which this sampler lacks must not refuse the request.
    A sampler that the model lacks is returned as it is: admission refuses it by name.
    """
    known = find_sampler(name)
    base = known.name if known is not None else name
    method, own = split_schedule(base)
    if schedule.lower() in OWN and (base in offered or not own):
        return base or None, ""
    if own:  # older clients name both in one
        base, schedule = method, own if schedule.lower() in OWN else schedule
    wanted = to_api_name(f"{base} {schedule}")
    for sampler in offered:
        if to_api_name(sampler) == wanted:
            return sampler, ""
    whose = f"the sampler {base}" if base else "the model's own sampler"
    return base or None, f'The schedule "{schedule[:40]}" was ignored: {whose} has only its own here.'
