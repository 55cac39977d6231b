from hypothesis import given
from hypothesis import strategies as st

from mezzotint.policy.device.model_eviction import Evict, ResidentModel, Wait, choose_evictions

RESIDENT = st.builds(
    ResidentModel,
    name=st.text("abc", min_size=1, max_size=8),
    num_bytes=st.integers(1, 100),
    used_at=st.floats(0, 100),
    is_pinned=st.booleans(),
    is_busy=st.booleans(),
)


def resident(
    name: str, num_bytes: int, used_at: float = 0, *, pinned: bool = False, busy: bool = False
) -> ResidentModel:
    return ResidentModel(name=name, num_bytes=num_bytes, used_at=used_at, is_pinned=pinned, is_busy=busy)


def test_the_least_recently_used_go_first_and_no_more_than_needed() -> None:
    held = [resident("a", 40, 3), resident("b", 40, 1), resident("c", 40, 2)]
    assert choose_evictions(held, 30, 120) == Evict(names=("b",))
    assert choose_evictions(held, 50, 120) == Evict(names=("b", "c"))


def test_without_a_bound_nothing_goes() -> None:
    assert choose_evictions([resident("a", 10**12)], 10**12, 0) == Evict(names=())


def test_runs_in_flight_are_waited_for() -> None:
    assert choose_evictions([resident("a", 90, busy=True)], 20, 100) == Wait()
    assert choose_evictions([resident("a", 50, busy=True), resident("b", 40)], 20, 100) == Evict(names=("b",))


def test_what_fits_beside_nothing_is_loaded_all_the_same() -> None:
    assert choose_evictions([], 200, 100) == Evict(names=())
    assert choose_evictions([resident("a", 90, pinned=True, busy=True)], 20, 100) == Evict(names=())


@given(st.lists(RESIDENT, unique_by=lambda one: one.name, max_size=6), st.integers(1, 200), st.integers(0, 300))
def test_pinned_and_busy_ones_always_stay_and_the_bound_holds_where_it_can(
    held: list[ResidentModel], wanted: int, bound: int
) -> None:
    movable = {one.name for one in held if not (one.is_pinned or one.is_busy)}
    match choose_evictions(held, wanted, bound):
        case Evict(names=names):
            assert set(names) <= movable
            left = sum(one.num_bytes for one in held if one.name not in names)
            assert bound == 0 or left + wanted <= bound or set(names) == movable
        case Wait():
            assert any(one.is_busy for one in held)
