from mezzotint.policy.device.time_slices import carry_over, choose_least_served


def test_models_share_the_device_by_time_whatever_a_turn_takes() -> None:
    turn_s = {"slow": 3.0, "quick": 1.0}
    spent: dict[str, float] = {}
    had = dict.fromkeys(turn_s, 0.0)
    for _ in range(400):
        spent = carry_over(spent, list(turn_s))
        name = choose_least_served(spent)
        assert name is not None
        spent[name] += turn_s[name]
        had[name] += turn_s[name]
    assert abs(had["slow"] - had["quick"]) <= max(turn_s.values())


def test_being_idle_earns_nothing() -> None:
    spent = carry_over({"a": 50.0, "b": 60.0}, ["a", "b", "new"])
    assert spent == {"a": 50.0, "b": 60.0, "new": 50.0}


def test_one_that_went_and_came_back_begins_with_the_others() -> None:
    spent = carry_over({"a": 9.0}, ["a"])
    assert carry_over(spent, ["b", "a"]) == {"b": 9.0, "a": 9.0}


def test_nobody_is_next_where_nobody_is() -> None:
    assert choose_least_served(carry_over({"a": 1.0}, [])) is None
