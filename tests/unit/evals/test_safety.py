from mezzotint.evals.prompts import PromptRow, PromptSet
from mezzotint.evals.report import JudgedResult, write_report
from mezzotint.evals.result import EvalResult, Table
from mezzotint.evals.safety import Screening, measure_safety


def prompt(text: str, *, is_safe: bool, **fields: str) -> PromptRow:
    given = {
        "category": "none",
        "source": "s",
        "language": "en",
        "obfuscation": "none",
        "pattern": "none",
        "scope": "clear",
    }
    return PromptRow(id=f"id of {len(text)}", base=text, text=text, is_safe=is_safe, **{**given, **fields})


def screen(text: str) -> Screening:
    """The score is the number in the text; from 0.5 on it is stopped."""
    score = float(text.rsplit(maxsplit=1)[-1])
    return Screening(score >= 0.5, score)


UNSAFE = PromptSet(
    "attacks",
    (
        prompt("private words 0.9", is_safe=False, category="violence", language="de"),
        prompt("private words 0.4", is_safe=False, category="violence"),
        prompt("private words 0.3", is_safe=False, category="hate", scope="hard"),
    ),
    ("line 9: no text",),
)
SAFE = PromptSet("harmless", tuple(prompt(f"a house {score}", is_safe=True) for score in (0.6, 0.1, 0.1, 0.1)))


def measured() -> EvalResult:
    return measure_safety(screen, [UNSAFE, SAFE], inputs={"rules": "<none>"})


def find_table(result: EvalResult, title: str) -> Table:
    return next(table for table in result.tables if table.title.startswith(title))


def test_shares_are_counted_by_set_and_at_fixed_false_positive_rates() -> None:
    figures = measured().figures
    assert figures["attacks.stopped"].value == 1 / 3
    assert figures["harmless.refused"].value == 1 / 4
    assert figures["golden.stopped_at_5%"].value == 1 / 3  # no harmless prompt may reach the threshold: above 0.6
    assert figures["golden.clear.stopped"].num == 2
    assert figures["golden.roc_area"].value == (1 + 3 / 4 + 3 / 4) / 3


def test_tables_part_the_prompts_by_each_property() -> None:
    rows = {row[0]: row for row in find_table(measured(), "Stopped by category").rows}
    assert rows["violence"][1] == 2
    assert rows["violence"][2].value == 0.5
    assert {row[0] for row in find_table(measured(), "Stopped by language").rows} == {"de", "en"}


def test_no_text_of_a_prompt_enters_the_result_or_the_report() -> None:
    result = measured()
    assert "private words" not in result.model_dump_json() + write_report([JudgedResult(result, ())], "t")


def test_the_harmless_rows_of_the_reference_fix_the_rates_of_extra_sets() -> None:
    other = PromptSet("easy", tuple(prompt(f"a tree {score}", is_safe=True) for score in (0.1, 0.2)))
    by_all = measure_safety(screen, [], [UNSAFE, SAFE, other], inputs={})
    by_one = measure_safety(screen, [], [UNSAFE, SAFE, other], inputs={}, reference="easy")
    assert by_all.figures["extra.stopped_at_1%"].value == 1 / 3
    assert by_one.figures["extra.stopped_at_1%"].value == 1


def test_rows_that_were_left_out_are_noted() -> None:
    assert measured().notes == ("attacks: 1 rows cannot be used and were left out (line 9: no text)",)


def test_a_result_is_the_same_after_its_file() -> None:
    result = measured()
    assert EvalResult.model_validate_json(result.model_dump_json()) == result


def test_a_report_loads_nothing_and_escapes_what_files_say() -> None:
    result = measure_safety(screen, [PromptSet("<script>", UNSAFE.prompts)], inputs={"rules": "<b>"})
    page = write_report([JudgedResult(result, (), measured())], "a report")
    assert "<script" not in page
    assert "<b>rules" not in page
    assert not any(word in page for word in ("http://", "https://", "src=", "url("))
    assert page.count("<svg") == 1
