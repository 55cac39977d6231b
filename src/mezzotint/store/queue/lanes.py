"""The weights of the lanes: by traffic, on bases that an admin may set."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sqlalchemy import select, update

from mezzotint.domain.tier import Tier
from mezzotint.store.database import Database
from mezzotint.store.queue.flows import bases_of, lock_shares, weights_of
from mezzotint.store.schema import shares

Weights = Mapping[Tier, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneWeights:
    """Weights of all lanes. weights: as they are now. bases: before traffic moves them."""

    weights: Weights
    bases: Weights


class Lanes:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self) -> LaneWeights:
        async with self._database.read() as connection:
            rows = {row["share"]: row for row in (await connection.execute(select(shares))).mappings()}
        return LaneWeights(weights=weights_of(rows), bases=bases_of(rows))

    async def set_base(self, lane: Tier, base: float | None) -> None:
        """From now on; traffic moves the weight from there. None: the lane's own."""
        async with self._database.write() as connection:
            await connection.execute(update(shares).where(shares.c.share == lane).values(base=base, weight=base))

    async def reweigh(self, change: Callable[[Weights, Weights], Weights]) -> None:
        """Put other weights in place of the lanes'. change: (weights, bases) -> weights."""
        async with self._database.write() as connection:
            rows = await lock_shares(connection)
            before = weights_of(rows)
            for lane, weight in change(before, bases_of(rows)).items():
                if weight != before[lane]:
                    await connection.execute(update(shares).where(shares.c.share == lane).values(weight=weight))
