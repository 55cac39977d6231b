"""`mezzotint rules`, `tighten`, `appeals` and `safety`, beside no server."""

import asyncio
import csv
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from mezzotint.actions.safety.controls import GoldenPrompts
from mezzotint.domain.errors import ArgumentInvalid
from mezzotint.domain.ids import OwnerId, TenantId
from mezzotint.domain.refusal import Refusal, RefusalCode, SafetyEvidence
from mezzotint.evals.prompts import read_prompts
from mezzotint.main.commands import app
from mezzotint.main.safety.arguments import parse_category, parse_duration, parse_end, parse_share, parse_terms
from mezzotint.policy.retention import Retention
from mezzotint.store import Appeals, Database, Refusals
from tests.making import NOW

Run = Callable[..., Result]
BLOCKED = Refusal(
    code=RefusalCode.PROMPT_BLOCKED, message="m", hint="h", evidence=SafetyEvidence(category="violence", rule="rule_1")
)
ADD = ("rules", "add", "--category", "deception", "--reason", "a wave")


@pytest.fixture
def run(tmp_path: Path, database_file: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command on an empty database, with small golden sets."""
    golden = GoldenPrompts(adversarial=["acme skates"], benign=["a blacksmith's anvil"])
    monkeypatch.setattr("mezzotint.main.safety.controls.read_golden", lambda: golden)
    monkeypatch.setenv("MEZZOTINT_TEXT_CLASSIFIER", "false")
    return lambda *arguments: CliRunner().invoke(app, [*arguments, "--data", str(tmp_path)])


def done(result: Result) -> str:
    assert result.exit_code == 0, result.output
    return result.stdout


def test_a_rule_is_tried_added_listed_dated_and_removed(run: Run) -> None:
    terms = ("--category", "deception", "--all-of", "acme", "--all-of", "skates, hoverboard", "--none-of", "report")
    tried = done(run("rules", "test", *terms))
    assert "golden adversarial  1                 1" in tried
    assert "in force" not in tried
    assert done(run("rules", "list")).count("rule_") == 0
    added = done(run("rules", "add", *terms, "--reason", "a wave", "--expires", "24h"))
    id = added.splitlines()[-1].split()[0]
    assert added.splitlines()[-1] == f"{id}  in force"
    listed = done(run("rules", "list"))
    assert f"{id}  1" in listed
    assert "acme + skates|hoverboard - report" in listed
    assert "command:" in listed
    assert done(run("rules", "date", id, "--expires", "never", "--reason", "it goes on")) == f"{id}  ends never\n"
    assert done(run("rules", "remove", id, "--reason", "it is over")) == f"{id}  removed\n"
    assert run("rules", "remove", id, "--reason", "again").exit_code == 1
    assert id not in done(run("rules", "list"))
    assert f"{id}  3" in done(run("rules", "list", "--ended"))
    audit = done(run("safety", "audit")).splitlines()
    assert [line.split("  ")[2].strip() for line in audit[1:]] == ["rule_removed", "rule_changed", "rule_added"]
    assert audit[1].endswith("it is over")


def test_a_rule_that_blocks_too_much_is_added_only_by_force(run: Run) -> None:
    refused = run(*ADD, "--all-of", "anvil")
    assert refused.exit_code == 2
    assert "1 of the golden set's 1 benign prompts" in refused.stderr
    forced = done(run(*ADD, "--all-of", "anvil", "--force"))
    assert 'benign, newly refused: "a blacksmith\'s anvil"' in forced


def test_thresholds_are_tightened_shown_and_given_back(run: Run) -> None:
    made = done(run("tighten", "--by", "10%", "--for", "24h", "--reason", "a wave"))
    id = made.split()[0]
    assert f"{id}  all  by 10% until" in made
    done(run("tighten", "--by", "0.5", "--for", "30m", "--category", "hate", "--reason", "a wave"))
    dial = done(run("safety", "dial"))
    assert "sexual            0.9" in dial
    assert "hate              0.45" in dial
    assert done(run("safety", "give-back", id, "--reason", "it is over")) == f"{id}  given back\n"
    assert "hate              0.5" in done(run("safety", "dial"))
    assert run("safety", "give-back", id, "--reason", "again").exit_code == 1
    of_minors = run("tighten", "--by", "10%", "--for", "24h", "--category", "sexual_minors", "--reason", "x")
    assert of_minors.exit_code == 2
    assert "always refused" in of_minors.stderr


async def appeal(data: Path, prompt: str | None) -> str:
    database = Database(data / "mezzotint.db")
    refusals = Refusals(database, Retention())
    id = await refusals.record(TenantId("ada"), OwnerId("sub:ada"), BLOCKED, "a plough, bloody", NOW)
    assert id is not None
    refusal = await refusals.get(id)
    assert refusal is not None
    made = await Appeals(database).add(refusal, "it is a plough", prompt, NOW)
    await database.close()
    assert made is not None
    return made.id


def test_appeals_are_listed_decided_and_exported_for_the_harness(run: Run, tmp_path: Path) -> None:
    with_text = asyncio.run(appeal(tmp_path, "a plough, bloody"))
    without = asyncio.run(appeal(tmp_path, None))
    listed = done(run("appeals", "list"))
    assert '"it is a plough"  "a plough, bloody"' in listed
    assert len(listed.splitlines()) == 3
    assert (
        done(run("appeals", "decide", with_text, "overturned", "--note", "one it is")) == f"{with_text}  overturned\n"
    )
    done(run("appeals", "decide", without, "upheld", "--note", "it was right"))
    assert run("appeals", "decide", without, "upheld", "--note", "again").exit_code == 2
    assert run("appeals", "decide", "app_0", "upheld", "--note", "x").exit_code == 1
    assert len(done(run("appeals", "list")).splitlines()) == 1
    assert "overturned" in done(run("appeals", "list", "--all"))
    lines, table = tmp_path / "appeals.jsonl", tmp_path / "appeals.csv"
    assert "2 decided appeals, 1 with their text" in done(run("appeals", "export", "--out", str(lines)))
    done(run("appeals", "export", "--out", str(table)))
    rows = [json.loads(line) for line in lines.read_text().splitlines()]
    assert [(row["label"], row["category"], row["rule"]) for row in rows] == [
        ("unsafe", "violence", "rule_1"),
        ("safe", "violence", "rule_1"),
    ]
    with table.open(newline="") as file:
        assert [row["prompt"] for row in csv.DictReader(file)] == ["a plough, bloody"]
    (read,) = read_prompts(table).prompts
    assert (read.text, read.is_safe, read.category) == ("a plough, bloody", True, "violence")
    assert run("appeals", "export", "--out", str(tmp_path / "appeals.txt")).exit_code == 2
    refusals = done(run("safety", "refusals"))
    assert "violence  rule_1" in refusals
    assert "plough" not in refusals


def test_times_shares_terms_and_categories_are_read_as_people_write_them() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert [parse_duration(text) for text in ("30m", "24h", "7d", "1.5h")] == [
        timedelta(minutes=30),
        timedelta(hours=24),
        timedelta(days=7),
        timedelta(minutes=90),
    ]
    assert (parse_share("10%"), parse_share("0.1"), parse_share("12.5%")) == (0.1, 0.1, 0.125)
    assert parse_end("2h", now) == now + timedelta(hours=2)
    assert parse_end("2026-12-31", now) == datetime(2026, 12, 31, tzinfo=UTC)
    assert parse_end("2026-12-31T18:00+01:00", now) == datetime(2026, 12, 31, 17, tzinfo=UTC)
    assert parse_terms(" a b , c,, ") == ("a b", "c")
    assert parse_category("all") is None
    wrong: list[Callable[[], object]] = [
        lambda: parse_duration("a day"),
        lambda: parse_share("ten"),
        lambda: parse_end("tomorrow", now),
        lambda: parse_category("gore"),
    ]
    for read in wrong:
        with pytest.raises(ArgumentInvalid):
            read()
