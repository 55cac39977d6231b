"""Hard rules, tightenings, appeals and their audit, on every database."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256

import pytest

from mezzotint.domain.ids import OwnerId, TenantId
from mezzotint.domain.job import Job
from mezzotint.domain.refusal import Refusal, RefusalCode, SafetyEvidence
from mezzotint.policy.retention import Retention
from mezzotint.policy.safety.appeals import MAX_OPEN, Appeal, AppealState
from mezzotint.policy.safety.audit import AuditAction, SafetyChange
from mezzotint.policy.safety.categories import SafetyCategory
from mezzotint.policy.safety.dial import Tightening
from mezzotint.policy.safety.hard_rules import MAX_RULES
from mezzotint.store import Appeals, Database, Jobs, KeptRefusal, Overrides, RecentPrompts, Refusals, SafetyAudit
from mezzotint.store.safety.recent_prompts import PAGE
from tests.making import NOW, make_job, make_parameters, make_rule

pytestmark = pytest.mark.anyio
ADA, EVE = OwnerId("sub:ada"), OwnerId("sub:eve")
HOUR = timedelta(hours=1)
CHANGE = SafetyChange(author="ops/sub:ops", reason="an incident", at=NOW)
BLOCKED = Refusal(
    code=RefusalCode.PROMPT_BLOCKED,
    message="m",
    hint="h",
    evidence=SafetyEvidence(
        category="violence", rule="rule_1", scores={"violence": 0.9}, overrides_version=3, policy_version="1"
    ),
)


def make_tightening(id: str = "tgt_1", hours: int = 24) -> Tightening:
    return Tightening(
        id=id,
        category=SafetyCategory.HATE,
        by=0.1,
        starts_at=NOW,
        ends_at=NOW + hours * HOUR,
        author=CHANGE.author,
        reason=CHANGE.reason,
    )


async def refuse(database: Database, owner: OwnerId = ADA, tenant: str = "ada") -> KeptRefusal:
    kept = Refusals(database, Retention())
    id = await kept.record(TenantId(tenant), owner, BLOCKED, "the prompt", NOW)
    assert id is not None
    refusal = await kept.get(id)
    assert refusal is not None
    return refusal


async def appeal(database: Database, refusal: KeptRefusal) -> Appeal:
    added = await Appeals(database).add(refusal, "it is a plough", None, NOW)
    assert added is not None
    return added


async def test_rules_and_tightenings_in_force_are_read_with_the_version_of_the_latest_change(
    database: Database,
) -> None:
    overrides = Overrides(database)
    assert (await overrides.in_force(NOW)).version == await overrides.version() == 0
    ends, stays = make_rule("acme", "skates", none_of=("report",), expires_at=NOW + HOUR), make_rule("emca")
    for rule in (ends, stays):
        assert await overrides.add_rule(rule)
    assert await overrides.tighten(make_tightening())
    found = await overrides.in_force(NOW)
    assert (found.rules, found.tightenings) == ((ends, stays), (make_tightening(),))
    assert found.version == await overrides.version() > 0
    later = await overrides.in_force(NOW + HOUR)
    assert (later.rules, later.version) == ((stays,), found.version)
    assert (await overrides.in_force(NOW + 25 * HOUR)).tightenings == ()


async def test_a_change_counts_the_rules_version_up_and_leaves_an_audit_row_with_before_and_after(
    database: Database,
) -> None:
    overrides, rule = Overrides(database), make_rule("acme")
    await overrides.add_rule(rule)
    dated = await overrides.date_rule(rule.id, NOW + HOUR, CHANGE)
    assert dated == replace(rule, version=2, expires_at=NOW + HOUR)
    removed = await overrides.remove_rule(rule.id, CHANGE)
    assert removed == replace(rule, version=3, expires_at=NOW + HOUR, removed_at=NOW)
    assert await overrides.remove_rule(rule.id, CHANGE) is None
    assert await overrides.date_rule("rule_0", None, CHANGE) is None
    assert await overrides.list_rules(10, with_ended=False, now=NOW) == []
    assert await overrides.list_rules(10, with_ended=True, now=NOW) == [removed]
    entries = [entry for _, entry in await SafetyAudit(database).page(10)]
    actions = [AuditAction.RULE_REMOVED, AuditAction.RULE_CHANGED, AuditAction.RULE_ADDED]
    assert [entry.action for entry in entries] == actions
    assert [entry.subject for entry in entries] == [rule.id] * 3
    assert entries[0].change == CHANGE
    (_, changed, added) = entries
    assert changed.before is not None
    assert changed.after is not None
    assert added.after is not None
    assert added.before is None
    assert (changed.before["expires_at"], changed.before["version"], changed.after["version"]) == (None, 1, 2)
    assert changed.after["expires_at"].startswith("2026-01-02T04:04:05")
    assert added.after["all_of"] == [["acme"]]


async def test_a_tightening_can_be_given_back_before_its_time(database: Database) -> None:
    overrides = Overrides(database)
    await overrides.tighten(make_tightening())
    ended = await overrides.end_tightening("tgt_1", replace(CHANGE, at=NOW + HOUR))
    assert ended == replace(make_tightening(), ends_at=NOW + HOUR)
    assert (await overrides.in_force(NOW + HOUR)).tightenings == ()
    assert await overrides.end_tightening("tgt_1", replace(CHANGE, at=NOW + HOUR)) is None
    actions = [entry.action for _, entry in await SafetyAudit(database).page(10)]
    assert actions == [AuditAction.TIGHTENING_ENDED, AuditAction.TIGHTENED]


async def test_changes_at_once_are_numbered_in_the_order_in_which_they_are_seen(database: Database) -> None:
    overrides = Overrides(database)
    rules = [make_rule("acme") for _ in range(8)]

    async def add_and_look(number: int) -> tuple[int, int]:
        assert await overrides.add_rule(rules[number])
        found = await overrides.in_force(NOW)
        return found.version, len(found.rules)

    seen = await asyncio.gather(*[add_and_look(number) for number in range(8)])
    assert len((await overrides.in_force(NOW)).rules) == 8
    for version, num_rules in seen:
        assert num_rules >= version, "a version stands for all changes up to it"


async def test_rules_in_force_are_bounded(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    assert MAX_RULES == 500
    monkeypatch.setattr("mezzotint.store.safety.overrides.MAX_RULES", 2)
    monkeypatch.setattr("mezzotint.store.safety.overrides.MAX_TIGHTENINGS", 1)
    overrides = Overrides(database)
    added = [await overrides.add_rule(make_rule("acme")) for _ in range(3)]
    tightened = [await overrides.tighten(make_tightening(id)) for id in ("tgt_1", "tgt_2")]
    assert (added, tightened) == ([True, True, False], [True, False])
    assert len(await SafetyAudit(database).page(10)) == 3


async def test_the_audit_is_read_in_pages_and_by_action(database: Database) -> None:
    overrides, audit = Overrides(database), SafetyAudit(database)
    for _ in range(3):
        await overrides.add_rule(make_rule("acme"))
    await overrides.tighten(make_tightening())
    newest = await audit.page(2)
    rest = await audit.page(10, newest[-1][0])
    assert [seq for seq, _ in newest + rest] == sorted((seq for seq, _ in newest + rest), reverse=True)
    assert len(newest + rest) == 4
    assert len(await audit.page(10, None, [AuditAction.RULE_ADDED])) == 3


async def test_a_refusal_keeps_the_hash_and_what_it_rests_on_and_the_text_only_where_that_is_wanted(
    database: Database,
) -> None:
    refusal = await refuse(database)
    assert refusal.text_hash == sha256(b"the prompt").hexdigest()
    assert (refusal.prompt, refusal.evidence, refusal.owner) == ("", BLOCKED.evidence, ADA)
    wanted = Refusals(database, Retention(keeps_refused_prompts=True))
    await wanted.record(TenantId("ada"), ADA, BLOCKED, "the prompt", NOW)
    page = await wanted.page(10)
    assert [kept.prompt for _, kept in page] == ["the prompt", ""]
    assert [kept.id for _, kept in await wanted.page(10, page[0][0])] == [refusal.id]
    assert await wanted.get("ref_0") is None


async def test_an_appeal_is_decided_once_and_may_be_decided_anew(database: Database) -> None:
    appeals = Appeals(database)
    made = await appeal(database, await refuse(database))
    assert (made.state, made.evidence, made.tenant) == (AppealState.OPEN, BLOCKED.evidence, "ada")
    decided = await appeals.decide(made.id, AppealState.OVERTURNED, CHANGE)
    assert isinstance(decided, Appeal)
    assert (decided.state, decided.note, decided.decided_by, decided.decided_at) == (
        AppealState.OVERTURNED,
        CHANGE.reason,
        CHANGE.author,
        NOW,
    )
    assert await appeals.decide(made.id, AppealState.OVERTURNED, CHANGE) is AppealState.OVERTURNED
    assert await appeals.decide("app_0", AppealState.UPHELD, CHANGE) is None
    assert isinstance(await appeals.decide(made.id, AppealState.UPHELD, CHANGE), Appeal)
    assert [one.state async for one in appeals.iterate_decided()] == [AppealState.UPHELD]
    entries = [entry for _, entry in await SafetyAudit(database).page(10)]
    assert [entry.before for entry in entries] == [{"state": "overturned"}, {"state": "open"}]
    assert await Overrides(database).version() == 0, "no rule and no threshold has changed"


async def test_a_refusal_has_one_appeal_and_a_tenant_a_bounded_number_of_open_ones(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert MAX_OPEN == 100
    monkeypatch.setattr("mezzotint.store.safety.appeals.MAX_OPEN", 2)
    appeals, first = Appeals(database), await refuse(database)
    made = await appeal(database, first)
    assert await appeals.add(first, "again", None, NOW) is None
    assert await appeals.find_of(first.id) == made
    await appeal(database, await refuse(database))
    third = await refuse(database)
    assert await appeals.add(third, "one too many", None, NOW) is None
    await appeal(database, await refuse(database, EVE, "eve"))
    await appeals.decide(made.id, AppealState.UPHELD, CHANGE)
    await appeal(database, third)


async def test_appeals_are_listed_by_owner_and_by_state(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mezzotint.store.safety.appeals.PAGE", 1)
    appeals = Appeals(database)
    mine = [await appeal(database, await refuse(database)) for _ in range(3)]
    hers = await appeal(database, await refuse(database, EVE, "eve"))
    newest = await appeals.of_owner(TenantId("ada"), [ADA], 2)
    rest = await appeals.of_owner(TenantId("ada"), [ADA], 2, newest[-1][0])
    assert [one for _, one in newest + rest] == mine[::-1]
    for one in mine[:2]:
        await appeals.decide(one.id, AppealState.UPHELD, CHANGE)
    assert [one.id for _, one in await appeals.page(10, None, [AppealState.OPEN])] == [hers.id, mine[2].id]
    assert len(await appeals.page(10)) == 4
    assert [one.id async for one in appeals.iterate_decided()] == [mine[1].id, mine[0].id]


async def test_the_newest_prompts_of_jobs_and_kept_refusals_are_found(database: Database, jobs: Jobs) -> None:
    def make(number: int) -> Job:
        parameters = replace(make_parameters(), prompt=f"apple {number}", negative_prompt="text")
        return replace(make_job(parameters=parameters), created_at=NOW + number * HOUR)

    await jobs.add(*[make(number) for number in range(4)])
    kept = Refusals(database, Retention(keeps_refused_prompts=True))
    await kept.record(TenantId("ada"), ADA, BLOCKED, "a refused one", NOW + 2.5 * HOUR)
    await refuse(database)
    found = await RecentPrompts(database).newest(3)
    assert found == [("apple 3", "text"), ("a refused one", ""), ("apple 2", "text")]
    assert len(await RecentPrompts(database).newest(PAGE + 1)) == 5
