"""The form of a fleet's file; docs/reference/fleet.md is made from it. `policy/fleet/validation.py` reads it."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from mezzotint.domain.fleet.accelerators import CPU, GIB
from mezzotint.domain.fleet.pool import DEFAULT_REGION, Fleet, Market, Pool, Region, SettingValue
from mezzotint.domain.ids import TenantId
from mezzotint.domain.tier import Tier

NAME = r"^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$"
"""Names of pools and regions: they stand in labels of Kubernetes, in names of actors and of metrics."""
RESOURCE = "resource:"
"""Before the name of a custom resource of Ray, in place of an accelerator."""
MAX_POOLS = 200
MAX_WORKERS = 10_000

Count = Annotated[int, Field(strict=True, ge=0, le=MAX_WORKERS)]
Name = Annotated[str, StringConstraints(pattern=NAME)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=100)]


class _FleetTable(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PoolEntry(_FleetTable):
    """A pool of the file."""

    name: Name = Field(description="unlike all others: small letters, digits and `-`, at most 40")
    accelerator: Text = Field(
        default=CPU,
        description="`cpu`, Ray's `accelerator_type` of the device (`H100`, `L4`, `A100-80G`), or `resource:NAME`, a "
        "custom resource of the cluster",
    )
    num_gpus: Annotated[float, Field(strict=True, ge=0, le=1, allow_inf_nan=False)] | None = Field(
        default=None,
        description="GPUs of one worker: 0, 1, or a part of one that workers share; default: 1 for an accelerator, 0 "
        "for `cpu` and resources",
    )
    memory_gb: Annotated[float, Field(strict=True, gt=0, le=100_000, allow_inf_nan=False)] | None = Field(
        default=None,
        description="GiB of the device; default: what the accelerator has. Models that do not fit are refused",
    )
    min: Count = Field(default=0, description="workers that are always there")
    max: Annotated[int, Field(strict=True, ge=1, le=MAX_WORKERS)] = Field(description="most workers")
    warm_floor: Count = Field(
        default=0, description="workers that stand ready beyond those that the load keeps busy, up to `max`"
    )
    models: tuple[Text, ...] = Field(
        default=(), description="names of the models that it draws, of the file `models.toml`; default: all of them"
    )
    lanes: tuple[Tier, ...] = Field(
        default=tuple(Tier), min_length=1, description="`free`, `paid`, `pro`: the lanes that it takes jobs of"
    )
    tenants: tuple[Text, ...] = Field(
        default=(),
        description="a dedicated pool: the only tenants that it takes jobs of. Other pools take their jobs, too, when "
        "they have room",
    )
    region: Name = Field(default=DEFAULT_REGION, description="one of the file's regions")
    market: Market = Field(
        default=Market.ON_DEMAND, description="`on-demand`, or `spot`: machines that the cloud may take back"
    )
    price_per_hour: Annotated[float, Field(strict=True, ge=0, le=1_000_000, allow_inf_nan=False)] | None = Field(
        default=None, description="of one worker; required where the file has a `cost_ceiling_per_hour`"
    )
    max_runs: Annotated[int, Field(strict=True, ge=1, le=256)] | None = Field(
        default=None, description="most jobs in a worker at once; default: as the setting `max_runs` says"
    )
    settings: dict[str, SettingValue] = Field(
        default_factory=dict, description="a table of settings of its workers, by their names in small letters"
    )

    def to_pool(self) -> Pool:
        is_resource = self.accelerator.startswith(RESOURCE)
        accelerator = CPU if is_resource else self.accelerator
        return Pool(
            name=self.name,
            accelerator=accelerator,
            resource=self.accelerator.removeprefix(RESOURCE) if is_resource else None,
            num_gpus=float(accelerator != CPU) if self.num_gpus is None else self.num_gpus,
            memory_bytes=None if self.memory_gb is None else int(self.memory_gb * GIB),
            min_workers=self.min,
            max_workers=self.max,
            warm_floor=self.warm_floor,
            models=self.models,
            lanes=self.lanes,
            tenants=tuple(map(TenantId, self.tenants)),
            region=self.region,
            market=self.market,
            price_per_hour=self.price_per_hour,
            max_runs=self.max_runs,
            settings=dict(self.settings),
        )


class RegionEntry(_FleetTable):
    """A region of the file."""

    name: Name = Field(description="unlike all others")
    spills_to: tuple[Name, ...] = Field(
        default=(), description="regions whose pools may take its jobs when it is late, nearest first; default: none"
    )


class FleetDocument(_FleetTable):
    """The whole file."""

    cost_ceiling_per_hour: Annotated[float, Field(strict=True, gt=0, le=1e9, allow_inf_nan=False)] | None = Field(
        default=None, description="most that all workers together may cost, in the unit of the pools' prices"
    )
    spot_share: Annotated[float, Field(strict=True, ge=0, le=1, allow_inf_nan=False)] = Field(
        default=1.0, description="part of the work, 0 to 1, that is planned for spot pools while they have room"
    )
    regions: tuple[RegionEntry, ...] = Field(
        default=(), max_length=100, description="tables `[[regions]]`; default: one region, `default`"
    )
    pools: tuple[PoolEntry, ...] = Field(min_length=1, max_length=MAX_POOLS, description="tables `[[pools]]`")

    def to_fleet(self) -> Fleet:
        return Fleet(
            pools=tuple(entry.to_pool() for entry in self.pools),
            regions=tuple(Region(name=entry.name, spills_to=entry.spills_to) for entry in self.regions)
            or (Region(name=DEFAULT_REGION),),
            cost_ceiling_per_hour=self.cost_ceiling_per_hour,
            spot_share=self.spot_share,
        )
