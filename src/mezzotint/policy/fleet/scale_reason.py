"""The reason of a decision about a pool's size, with the numbers that it rests on."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from mezzotint.domain.tier import Tier


class ScaleCause(StrEnum):
    BACKLOG = "backlog"
    LATE = "late"
    WARM_FLOOR = "warm_floor"
    MINIMUM = "minimum"
    MAXIMUM = "maximum"
    STEP = "step"
    COST_CEILING = "cost_ceiling"
    NO_MACHINES = "no_machines"
    IDLE = "idle"
    COOLING = "cooling"
    STEADY = "steady"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleReason:
    """wanted: workers that load and warm floor call for, before bounds. busy: workers' worth of devices in use.
    work_s: seconds of one worker's work that wait and are planned for the pool. lane, wait_s, target_s: of the lane
    that is latest. limit: the bound that held, where one did. calm_s: for how long less would have done.
    """

    cause: ScaleCause
    wanted: int
    busy: float
    work_s: float
    lane: Tier | None = None
    wait_s: float = 0.0
    target_s: float = 0.0
    limit: float = 0.0
    calm_s: float = 0.0

    @property
    def sentence(self) -> str:
        """For people: logs, `mezzotint fleet status`."""
        load = f"{self.work_s:.0f} s of work wait beside {self.busy:.1f} busy workers"
        numbers = {name: getattr(self, name) for name in ("wanted", "busy", "lane", "wait_s", "target_s", "calm_s")}
        return SENTENCES[self.cause].format(load=load, limit=self.limit, **numbers)


SENTENCES: Mapping[ScaleCause, str] = {
    ScaleCause.BACKLOG: "{load}: {wanted} workers clear it in time",
    ScaleCause.LATE: "jobs of {lane} wait {wait_s:.0f} s, their target is {target_s:.0f} s, and every worker is busy",
    ScaleCause.WARM_FLOOR: "{limit:g} workers stand ready beyond {busy:.1f} busy ones",
    ScaleCause.MINIMUM: "{load}; the pool's min is {limit:g}",
    ScaleCause.MAXIMUM: "{load}: {wanted} are wanted, the pool's max is {limit:g}",
    ScaleCause.STEP: "{load}: {wanted} are wanted, at most {limit:g} more at a time",
    ScaleCause.COST_CEILING: "{load}: {wanted} are wanted, the ceiling is {limit:g} an hour",
    ScaleCause.NO_MACHINES: "{load}: {wanted} are wanted, and no machine came for the last ones",
    ScaleCause.IDLE: "{load}: {wanted} have sufficed for {calm_s:.0f} s",
    ScaleCause.COOLING: "{load}: {wanted} suffice since {calm_s:.0f} s; one may go after {limit:.0f} s",
    ScaleCause.STEADY: "{load}",
}
