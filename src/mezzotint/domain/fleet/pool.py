"""The pools of a fleet, as its operator wants them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from mezzotint.domain.fleet.accelerators import ACCELERATORS, CPU
from mezzotint.domain.ids import TenantId
from mezzotint.domain.tier import Tier

DEFAULT_REGION = "default"
"""The region of everything that names none."""

SettingValue = str | int | float | bool


class Market(StrEnum):
    """The way in which machines are bought."""

    ON_DEMAND = "on-demand"
    """They stay until they are given back."""
    SPOT = "spot"
    """Cheaper; the cloud may take them back on short notice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """Workers that are alike: one device each, the same models and settings.

    accelerator: Ray's `accelerator_type`, or `cpu`. resource: a custom resource of Ray instead. num_gpus: of Ray, for
    one worker. memory_bytes: of the device; None: its accelerator's, where that is known.
    min_workers, max_workers: bounds of their number. warm_floor: workers that stand ready beyond those that the load
    keeps busy. models: names of the models that it draws; empty: all. lanes: those it takes jobs of. tenants: the only
    ones it takes jobs of; empty: all. price_per_hour: of one worker. max_runs: most jobs of a worker at once; None: as
    the setting says. settings: of its workers, by name.
    """

    name: str
    accelerator: str = CPU
    resource: str | None = None
    num_gpus: float = 0.0
    memory_bytes: int | None = None
    min_workers: int = 0
    max_workers: int = 1
    warm_floor: int = 0
    models: tuple[str, ...] = ()
    lanes: tuple[Tier, ...] = tuple(Tier)
    tenants: tuple[TenantId, ...] = ()
    region: str = DEFAULT_REGION
    market: Market = Market.ON_DEMAND
    price_per_hour: float | None = None
    max_runs: int | None = None
    settings: Mapping[str, SettingValue] = field(default_factory=dict)

    @property
    def device_bytes(self) -> int | None:
        """Memory of a worker's device; None: not known, or the machine's."""
        whole = self.memory_bytes or ACCELERATORS.get(self.accelerator)
        return None if whole is None or self.num_gpus == 0 else int(whole * self.num_gpus)

    @property
    def is_dedicated(self) -> bool:
        """Tell whether it takes jobs of some tenants alone."""
        return bool(self.tenants)


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """A place with gateways, pools and stores. spills_to: where its jobs may go when it is late, nearest first."""

    name: str
    spills_to: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """All pools. cost_ceiling_per_hour: of all workers together, in the unit of the pools' prices; None: no ceiling.
    spot_share: part of the work that is planned for spot pools while they have room."""

    pools: tuple[Pool, ...]
    regions: tuple[Region, ...] = (Region(name=DEFAULT_REGION),)
    cost_ceiling_per_hour: float | None = None
    spot_share: float = 1.0

    def pool(self, name: str) -> Pool | None:
        return next((pool for pool in self.pools if pool.name == name), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetProblem:
    """A fault of a fleet's file, or of the cluster that it is to run on. pool: None: the whole fleet's. fix: what to do
    about it."""

    key: str
    message: str
    fix: str
    pool: str | None = None

    @property
    def sentence(self) -> str:
        place = f"pool {self.pool}, {self.key}" if self.pool else self.key
        return f"{place}: {self.message}; {self.fix}"
