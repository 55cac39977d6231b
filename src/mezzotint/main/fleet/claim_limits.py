"""The limits of what a worker claims, as its settings say them."""

from collections.abc import Collection

from mezzotint import __version__
from mezzotint.config import Settings
from mezzotint.domain.errors import SettingInvalid
from mezzotint.domain.ids import TenantId
from mezzotint.domain.tier import Tier
from mezzotint.store import WorkerLabels
from mezzotint.store.revisions import CODE


def limit_models(settings: Settings, offered: Collection[str]) -> frozenset[str]:
    """The models of those offered that the worker takes jobs of. Raises: SettingInvalid."""
    names = _split(settings.claim_models)
    if unknown := names - set(offered):
        known = ", ".join(sorted(offered))
        raise SettingInvalid(f"claim_models: {', '.join(sorted(unknown))}: not among its models ({known})")
    return names or frozenset(offered)


def read_labels(settings: Settings, models: frozenset[str]) -> WorkerLabels:
    """Raises: SettingInvalid. models: those that it takes jobs of."""
    lanes = _split(settings.claim_lanes)
    if unknown := lanes - set(Tier):
        raise SettingInvalid(f"claim_lanes: {', '.join(sorted(unknown))}: lanes are {', '.join(Tier)}")
    tenants = _split(settings.claim_tenants)
    return WorkerLabels(
        pool=settings.pool,
        region=settings.region,
        version=settings.release or __version__,
        models=models,
        lanes=frozenset(Tier(lane) for lane in lanes) or frozenset(Tier),
        tenants=frozenset(TenantId(name) for name in tenants) or None,
        max_runs=settings.max_runs,
        schema=CODE,
    )


def _split(names: str) -> frozenset[str]:
    return frozenset(name.strip() for name in names.split(",") if name.strip())
