"""Read and check a fleet's document: every fault by its pool and key, with what to do about it."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from mezzotint.domain.fleet.accelerators import ACCELERATORS, CPU
from mezzotint.domain.fleet.pool import Fleet, FleetProblem, Market, Pool
from mezzotint.domain.tenant import is_tenant_name
from mezzotint.domain.tier import Tier
from mezzotint.policy.fleet.document import RESOURCE, FleetDocument, PoolEntry, RegionEntry

FORMS: Mapping[str, type[BaseModel]] = {"pools": PoolEntry, "regions": RegionEntry}
CHOICES: Mapping[str, Sequence[str]] = {"lanes": tuple(Tier), "market": tuple(Market)}
FORMS_OF: Mapping[str, str] = {
    "tuple_type": "a list",
    "dict_type": "a table",
    "model_type": "a table",
    "too_short": "a list with something in it",
    "int_type": "a whole number",
    "float_type": "a number",
    "string_type": "text",
    "string_pattern_mismatch": "small letters, digits and '-', at most 40, of which '-' is neither first nor last",
}
"""The value that was due, by the kind of fault."""
MOST_PROBLEMS = 20
"""Faults that are told at once."""
WEIGHTS_SHARE = 0.8
"""Part of a device's memory that a model's weights may take; the rest is for latents, activations and the VAE."""


def read_document(document: Mapping[str, Any]) -> Fleet | tuple[FleetProblem, ...]:
    """The fleet of a parsed file, or what is wrong with it."""
    try:
        read = FleetDocument.model_validate(document)
    except ValidationError as error:
        found = [
            _explain(one, document)
            for one in error.errors()
            if one["type"] != "too_short" or not one["input"]  # a list that is short of items with faults of their own
        ]
        return tuple(dict.fromkeys(found))[:MOST_PROBLEMS]
    fleet = read.to_fleet()
    problems = [
        *_check_names(fleet),
        *(problem for entry in read.pools for problem in _check_accelerator(entry)),
        *(problem for pool in fleet.pools for problem in _check_pool(pool)),
        *_check_regions(fleet),
        *_check_cost(fleet),
        *_check_spot(fleet),
    ]
    return tuple(problems[:MOST_PROBLEMS]) or fleet


def check_models(fleet: Fleet, num_bytes: Mapping[str, int | None]) -> tuple[FleetProblem, ...]:
    """Faults of the pools' models. num_bytes: weights of every model that is served; None: their size on the device is
    not known, since they are quantised or offloaded."""
    problems: list[FleetProblem] = []
    for pool in fleet.pools:
        for name in pool.models:
            if name not in num_bytes:
                fix = _suggest(name, num_bytes) or f"the list of models has {', '.join(sorted(num_bytes))}"
                problems.append(_problem(pool, "models", f"there is no model {name!r}", fix))
        names = [name for name in pool.models or num_bytes if name in num_bytes]
        too_large = [name for name in names if not fits_device(num_bytes[name], pool)]
        if too_large and (pool.models or len(too_large) == len(names)):
            problems.append(_problem_of_size(pool, too_large[0], num_bytes[too_large[0]] or 0))
    return tuple(problems[:MOST_PROBLEMS])


def fits_device(num_bytes: int | None, pool: Pool) -> bool:
    """Tell whether a model's weights leave room for its runs on the pool's device; true where either is not known."""
    room = pool.device_bytes
    return num_bytes is None or room is None or num_bytes <= WEIGHTS_SHARE * room


def list_gaps(fleet: Fleet, models: Sequence[str]) -> tuple[str, ...]:
    """Jobs that no pool takes, as sentences: no fault, since workers outside the fleet may take them."""
    pools = [pool for pool in fleet.pools if not pool.is_dedicated]
    lanes = [lane for lane in Tier if not any(lane in pool.lanes for pool in pools)]
    gaps = [
        f"No pool takes jobs of the lane {lane} from every tenant: they wait for a worker elsewhere." for lane in lanes
    ]
    orphans = [model for model in models if not any(not pool.models or model in pool.models for pool in fleet.pools)]
    return (*gaps, *(f"No pool draws {model}: requests for it are refused while the fleet is up." for model in orphans))


def _problem(pool: Pool | str | None, key: str, message: str, fix: str) -> FleetProblem:
    return FleetProblem(pool=pool.name if isinstance(pool, Pool) else pool, key=key, message=message, fix=fix)


def _suggest(name: object, known: Mapping[str, object] | Sequence[str]) -> str:
    by_small = {str(one).lower(): str(one) for one in known}
    near = get_close_matches(str(name).lower(), by_small, 1)
    return f"did you mean {by_small[near[0]]!r}?" if near else ""


def _explain(error: ErrorDetails, document: Mapping[str, Any]) -> FleetProblem:
    """A fault of form as its reader understands it."""
    place = list(error["loc"])
    table, pool = _find_table(place, document)
    is_entry = table in FORMS and len(place) > 1 and isinstance(place[1], int)
    path = place[2:] if is_entry else place
    path = path[:2] if path[:1] == ["settings"] else path  # beyond stand the types that were tried
    key = ".".join(f"{part + 1}" if isinstance(part, int) else str(part) for part in path) or table
    if table == "regions" and is_entry:
        key = f"regions {int(place[1]) + 1}, {key}"
    given = error.get("input")
    match error["type"]:
        case "extra_forbidden":
            known = list((FORMS[table] if is_entry else FleetDocument).model_fields)
            fix = _suggest(path[-1], known) or f"known are {', '.join(known)}"
            return _problem(pool, key, "is no key of this table", fix)
        case "missing":
            return _problem(pool, key, "is missing", "write it; docs/reference/fleet.md says what it holds")
        case "enum":
            choices = next((CHOICES[str(part)] for part in path if part in CHOICES), ())
            fix = _suggest(given, choices) or f"known are {', '.join(choices)}"
            return _problem(pool, key, f"{given!r} is not known", fix)
        case kind:
            wanted = (
                "text, a number, true or false" if path[:1] == ["settings"] and len(path) > 1 else FORMS_OF.get(kind)
            )
            message = error["msg"].replace("Input should be", "is to be") if wanted is None else f"is to be {wanted}"
            return _problem(pool, key, f"{message} (got {given!r:.60})", "docs/reference/fleet.md has every key's form")


def _find_table(place: Sequence[int | str], document: Mapping[str, Any]) -> tuple[str, str | None]:
    """The table that a fault is in, and the name of its pool."""
    table = str(place[0]) if place else "the file"
    if table != "pools" or len(place) < 2 or not isinstance(place[1], int):
        return table, None
    entry = document["pools"][place[1]]
    name = entry.get("name") if isinstance(entry, dict) else None
    if isinstance(name, str) and name and name.isprintable():
        return table, name[:60]
    return table, f"number {place[1] + 1}"


def _check_names(fleet: Fleet) -> Iterator[FleetProblem]:
    for name, times in Counter(pool.name for pool in fleet.pools).items():
        if times > 1:
            yield _problem(name, "name", f"stands {times} times", "give each pool a name of its own")
    for name, times in Counter(region.name for region in fleet.regions).items():
        if times > 1:
            yield _problem(None, "regions", f"{name!r} stands {times} times", "list each region once")


def _check_accelerator(entry: PoolEntry) -> Iterator[FleetProblem]:
    name = entry.accelerator
    if name.startswith(RESOURCE):
        if not name.removeprefix(RESOURCE).strip():
            yield _problem(entry.name, "accelerator", "names no resource", "write resource:NAME")
        return
    if name not in ACCELERATORS:
        fix = _suggest(name, ACCELERATORS) or "see docs/reference/fleet.md, or name a custom resource, resource:NAME"
        yield _problem(entry.name, "accelerator", f"{name!r} is not known", fix)
    elif name == CPU and entry.num_gpus:
        yield _problem(entry.name, "num_gpus", f"is {entry.num_gpus:g}, without a GPU", "name the accelerator")
    elif name != CPU and entry.num_gpus == 0:
        yield _problem(entry.name, "num_gpus", f"is 0, with {name}", "leave it out, or write accelerator = 'cpu'")


def _check_pool(pool: Pool) -> Iterator[FleetProblem]:
    if pool.min_workers > pool.max_workers:
        yield _problem(
            pool, "min", f"{pool.min_workers} is more than max, {pool.max_workers}", "lower min or raise max"
        )
    if pool.warm_floor > pool.max_workers:
        message = f"{pool.warm_floor} is more than max, {pool.max_workers}"
        yield _problem(pool, "warm_floor", message, "lower it or raise max")
    for key, names in (("models", pool.models), ("lanes", pool.lanes), ("tenants", pool.tenants)):
        for name, times in Counter(map(str, names)).items():
            if times > 1:
                yield _problem(pool, key, f"{name!r} stands {times} times", "list it once")
    for tenant in pool.tenants:
        if not is_tenant_name(tenant):
            fix = "write 1 to 64 letters, digits, '.', '_' or '-'"
            yield _problem(pool, "tenants", f"{tenant!r} cannot be a tenant's name", fix)


def _check_regions(fleet: Fleet) -> Iterator[FleetProblem]:
    names = [region.name for region in fleet.regions]
    for pool in fleet.pools:
        if pool.region not in names:
            fix = _suggest(pool.region, names) or f"the file has {', '.join(names)}: add a table [[regions]]"
            yield _problem(pool, "region", f"there is no region {pool.region!r}", fix)
    for region in fleet.regions:
        for other in region.spills_to:
            if other not in names:
                fix = _suggest(other, names) or f"the file has {', '.join(names)}"
                yield _problem(None, f"regions {region.name}.spills_to", f"there is no region {other!r}", fix)
            elif other == region.name or region.spills_to.count(other) > 1:
                fix = "list each other region once"
                yield _problem(None, f"regions {region.name}.spills_to", f"names {other!r} in vain", fix)


def _check_cost(fleet: Fleet) -> Iterator[FleetProblem]:
    ceiling = fleet.cost_ceiling_per_hour
    if ceiling is None:
        return
    unpriced = [pool for pool in fleet.pools if pool.price_per_hour is None]
    for pool in unpriced:
        fix = "write what one worker costs an hour, or leave cost_ceiling_per_hour out"
        yield _problem(pool, "price_per_hour", "is missing, and the file has a cost ceiling", fix)
    least = sum((pool.price_per_hour or 0.0) * pool.min_workers for pool in fleet.pools)
    if not unpriced and least > ceiling:
        message = f"{ceiling:g} is less than the {least:g} that all pools' min workers cost"
        yield _problem(None, "cost_ceiling_per_hour", message, "raise it, or lower min")


def _check_spot(fleet: Fleet) -> Iterator[FleetProblem]:
    markets = {pool.market for pool in fleet.pools}
    if fleet.spot_share < 1.0 and markets == {Market.SPOT}:
        message = f"{fleet.spot_share:g} leaves work to on-demand pools, and there is none"
        yield _problem(None, "spot_share", message, "add an on-demand pool, or leave it out")


def _problem_of_size(pool: Pool, model: str, num_bytes: int) -> FleetProblem:
    room = WEIGHTS_SHARE * (pool.device_bytes or 0)
    message = f"{model} has {num_bytes / 1e9:.1f} GB of weights, and {room / 1e9:.1f} GB of the device are for weights"
    fix = "name a larger accelerator (or its memory_gb), quantise the model, or leave it out"
    return _problem(pool, "models", message, fix)
