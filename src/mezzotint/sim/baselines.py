"""Queues to compare fair share with."""

from dataclasses import replace
from datetime import datetime

from mezzotint.policy.fair_queue.choose import choose_job
from mezzotint.policy.fair_queue.state import ChosenJob, FairShareRules, Queue


def choose_first_come(queue: Queue, now: datetime, rules: FairShareRules) -> ChosenJob | None:
    """First come, first served, whoever it is."""
    heads = [(line, waiting) for line in queue.lines for waiting in line.oldest]
    if not heads:
        return None
    line, head = min(heads, key=lambda entry: (entry[1].jobs[0].created_at, entry[1].jobs[0].job))
    alone = replace(line, waiting=[replace(head, jobs=head.jobs[:1])], oldest=())
    return choose_job(replace(queue, lines=[alone]), now, replace(rules, expresses={}))


def choose_strict_priority(queue: Queue, now: datetime, rules: FairShareRules) -> ChosenJob | None:
    """The heaviest lane that has anything."""
    if not queue.lines:
        return None
    heaviest = max(queue.lines, key=lambda line: queue.weights[line.lane])
    return choose_job(replace(queue, lines=[heaviest]), now, replace(rules, expresses={}))
