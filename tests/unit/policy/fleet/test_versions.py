"""Versions beside each other: by the revision of the database, and by what their engines compute."""

import pytest

from mezzotint.policy.fleet.versions import compare_fingerprints, explain_revision, list_left_behind


@pytest.mark.parametrize(("database", "is_served"), [(0, True), (29, True), (30, True), (31, False)])
def test_code_works_on_its_own_revision_and_on_the_next(database: int, is_served: bool) -> None:
    found = explain_revision(29, database)
    assert (found is None) is is_served
    assert found is None or "revision 0031, and this version uses 0029 or 0030: install a newer version" in found


def test_a_new_version_leaves_behind_who_is_two_revisions_back() -> None:
    assert list_left_behind(31, {"b": 29, "a": 28, "c": 30, "d": 31}) == ["a", "b"]


def test_models_whose_engines_differ_are_named() -> None:
    old, new = [{"ink": "a", "xl": "b"}, {}], [{"ink": "a", "xl": "c"}, {"only-new": "d"}]
    assert [model for model, _ in compare_fingerprints(old, new)] == ["xl"]
    assert compare_fingerprints(old, []) == []
    assert compare_fingerprints(old, old) == []
