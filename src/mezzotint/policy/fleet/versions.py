"""Which versions of the code may use one database beside each other.

Code works on the revision of the database that it was written for, and on the next one: a newer version brings the
database up, and workers of the version before go on. Two revisions apart, the older one must have ended first.
"""

from collections.abc import Iterable, Mapping, Sequence


def explain_revision(code: int, database: int) -> str | None:
    """Why code that was written for a revision cannot use a database that is at another; None: it can.

    A database that is behind is brought up by the code itself.
    """
    if database <= code + 1:
        return None
    return (
        f"its tables are of revision {database:04}, and this version uses {code:04} or {code + 1:04}: install a newer "
        "version here"
    )


def list_left_behind(code: int, living: Mapping[str, int]) -> list[str]:
    """The workers that could not use the database any more, once this code has brought it up to its own revision.
    living: worker -> the revision that its code was written for."""
    return sorted(name for name, revision in living.items() if explain_revision(revision, code) is not None)


def compare_fingerprints(
    old: Iterable[Mapping[str, str]], new: Iterable[Mapping[str, str]]
) -> Sequence[tuple[str, str]]:
    """The models that two versions draw differently with, and what follows from it. old, new: of each worker, model ->
    fingerprint of its engine; models that were not loaded yet are left out."""
    before: dict[str, set[str]] = {}
    after: dict[str, set[str]] = {}
    for known, workers in ((before, old), (after, new)):
        for fingerprints in workers:
            for model, fingerprint in fingerprints.items():
                known.setdefault(model, set()).add(fingerprint)
    note = (
        "other weights or numerics: runs that one version put aside begin again on the other, and the same request "
        "gives another picture"
    )
    return [(model, note) for model in sorted(before.keys() & after.keys()) if before[model].isdisjoint(after[model])]
