"""Samplers and schedules as the AUTOMATIC1111 API names them: here a schedule is a part of a sampler's name."""

from collections.abc import Sequence

from mezzotint.domain.sampler import find_sampler
from mezzotint.gateway.automatic1111.schemas import SdScheduler

KARRAS = "karras"
OWN = frozenset({"", "automatic", "use same scheduler"})
"""Words for the sampler's own schedule."""


def list_schedulers(offered: Sequence[str]) -> list[SdScheduler]:
    """The schedules that a request can choose. offered: names of the model's samplers."""
    found = [SdScheduler(name="automatic", label="Automatic")]
    if any(name.lower().endswith(f" {KARRAS}") for name in offered):
        found.append(SdScheduler(name=KARRAS, label="Karras", default_rho=7.0))
    return found


def choose_sampler(name: str, schedule: str, offered: Sequence[str]) -> tuple[str | None, str]:
    """The model's sampler for a request, None for its own; and a comment where the schedule is ignored.

    Clients choose a schedule once for all models, so that one which this sampler lacks must not refuse the request.
    A sampler that the model lacks is returned as it is: admission refuses it by name.
    """
    known = find_sampler(name)
    base = known.name if known is not None else name
    if schedule.lower() in OWN and (base in offered or not base.lower().endswith(f" {KARRAS}")):
        return base or None, ""
    if base.lower().endswith(f" {KARRAS}"):  # older clients name both in one
        base, schedule = base[: -len(KARRAS) - 1], KARRAS if schedule.lower() in OWN else schedule
    with_schedule = f"{base} {schedule}".lower()
    for sampler in offered:
        if sampler.lower() == with_schedule:
            return sampler, ""
    whose = f"the sampler {base}" if base else "the model's own sampler"
    return base or None, f'The schedule "{schedule[:40]}" was ignored: {whose} has only its own here.'
