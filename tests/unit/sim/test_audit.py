import pytest

from mezzotint.sim.audit import Audit


def audit() -> Audit[str]:
    audit = Audit[str](num_largest=1, slack=0)
    for name in "ab":
        audit.note_size(name, 1.0)
    return audit


def test_drift_up_to_the_bound_is_allowed_and_more_is_a_violation() -> None:
    watched = audit()
    watched.compete("ab")
    for name in "aab":
        watched.serve(name, 1.0)
    assert (watched.num_violations, watched.worst) == (0, 1.0)
    watched.serve("b", 1.0)
    assert watched.num_violations == 0
    watched.serve("b", 0.5)
    assert watched.num_violations == 1


def test_drift_counts_over_any_interval_not_only_from_its_beginning() -> None:
    watched = audit()
    watched.compete("ab")
    watched.serve("a", 1.0)
    watched.serve("a", 1.0)
    for _ in range(3):
        watched.serve("b", 1.0)
    assert watched.worst == pytest.approx(1.5)


def test_service_while_the_other_had_nothing_waiting_does_not_count() -> None:
    watched = audit()
    watched.compete("a")
    for _ in range(50):
        watched.serve("a", 1.0)
    watched.compete("ab")
    watched.serve("b", 1.0)
    assert watched.num_violations == 0


def test_slack_widens_the_bound_on_both_sides() -> None:
    watched = Audit[str](num_largest=1, slack=1.0)
    for name in "ab":
        watched.note_size(name, 1.0)
    watched.note_passed(2.0)
    watched.compete("ab")
    for _ in range(6):
        watched.serve("a", 1.0)
    assert watched.num_violations == 0
    watched.serve("a", 0.1)
    assert watched.num_violations == 1
