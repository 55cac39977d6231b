"""Writes the pages that are made from the code. `make docs` runs it; a test compares the pages with it."""

import json
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path

from prometheus_client import Counter, Gauge, Histogram
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from mezzotint.config import Settings
from mezzotint.domain.errors import JobFault, MezzotintError
from mezzotint.domain.fleet.accelerators import ACCELERATORS, GIB
from mezzotint.domain.fleet.health import HEALTH_TRANSITIONS
from mezzotint.domain.fleet.rollout_phase import ROLLOUT_TRANSITIONS
from mezzotint.domain.fleet.worker_state import FLEET_WORKER_TRANSITIONS
from mezzotint.domain.job import TRANSITIONS
from mezzotint.domain.safety.held_image import HELD_TRANSITIONS
from mezzotint.domain.safety.takedown import TAKEDOWN_TRANSITIONS, UNDER_WAY
from mezzotint.engine.models.catalog import EmbeddingEntry, ModelEntry, Quantization, StyleEntry
from mezzotint.evals.gates import load_gates
from mezzotint.gateway.errors import ERRORS, find_status
from mezzotint.main.fleet.fleet_file import MAX_FILE_BYTES, WORKER_SETTINGS
from mezzotint.metrics import Metrics
from mezzotint.policy.admission.prompt_parameters import PARAMETERS, UNSUPPORTED, UNSUPPORTED_SHORT
from mezzotint.policy.fleet.document import FleetDocument, PoolEntry, RegionEntry
from mezzotint.policy.safety.appeals import TRANSITIONS as APPEAL_TRANSITIONS
from mezzotint.worker.job_states import TRANSITIONS as WORKER_TRANSITIONS

DOCS = Path(__file__).parent
NOTICE = "<!-- made from the code by docs/build.py: change the code, then run `make docs` -->\n"


def pages() -> dict[Path, str]:
    """Path under docs/ -> text."""
    made = {
        "states.md": states(),
        "reference/settings.md": settings(),
        "reference/models.md": models(),
        "reference/fleet.md": fleet(),
        "reference/errors.md": errors(),
        "reference/prompt-parameters.md": prompt_parameters(),
        "reference/parameter-pictures.md": parameter_pictures(),
        "reference/gates.md": gates(),
    }
    made["reference/metrics.md"] = metrics()
    made["reference/families.md"] = runpy.run_path(str(DOCS / "families.py"))["page"](NOTICE)
    made["reference/measurements.md"] = runpy.run_path(str(DOCS / "measured.py"))["page"](NOTICE)
    return {Path(name): text for name, text in made.items()}


def states() -> str:
    lines = [NOTICE, "# The states of a job\n", "```mermaid", "stateDiagram-v2", "  [*] --> queued"]
    lines += [f"  {before} --> {after}" for before, to in TRANSITIONS.items() for after in to]
    lines += [f"  {state} --> [*]" for state in TRANSITIONS if state.is_final]
    lines += ["```\n", "| from | to | when |", "| --- | --- | --- |"]
    lines += [f"| {before} | {after} | {why} |" for before, to in TRANSITIONS.items() for after, why in to.items()]
    final = ", ".join(state for state in TRANSITIONS if state.is_final)
    lines.append(f"\nFinal: {final}. A refused prompt never becomes a job; it is an audit row.")
    sections = [*lease_states(), *appeal_states(), *held_image_states(), *takedown_phases(), *fleet_states()]
    return "\n".join([*lines, *sections]) + "\n"


def lease_states() -> list[str]:
    """The section about a job inside its worker, one row a transition."""
    lines = [
        "\n# The states of a running job inside its worker\n",
        "```mermaid",
        "stateDiagram-v2",
        "  [*] --> starting",
    ]
    rows = [(before, to, *after) for before, table in WORKER_TRANSITIONS.items() for to, after in table.items()]
    lines += list(dict.fromkeys(f"  {before} --> {after}" for before, _, after, _ in rows if before is not after))
    lines += ["  released --> [*]", "```\n", "| from | message | to | action |", "| --- | --- | --- | --- |"]
    lines += [f"| {before} | {message} | {after} | {action} |" for before, message, after, action in rows]
    lines.append(
        "\nA message that a state does not list is ignored (`worker/job_states.py`). `lost`: the lease is over, and"
    )
    lines.append("the device still has the run. `released`: the worker has forgotten the job.")
    return lines


def takedown_phases() -> list[str]:
    """The section about takedowns, one row a transition."""
    table = TAKEDOWN_TRANSITIONS
    lines = ["\n# The phases of a takedown\n", "```mermaid", "stateDiagram-v2", f"  [*] --> {next(iter(table))}"]
    lines += [f"  {before} --> {after}" for before, to in table.items() for after in to]
    lines += [f"  {phase} --> [*]" for phase, to in table.items() if not to]
    lines += ["```\n", "| from | to | when |", "| --- | --- | --- |"]
    lines += [f"| {before} | {after} | {why} |" for before, to in table.items() for after, why in to.items()]
    waits = f"{', '.join(UNDER_WAY[:-1])} or {UNDER_WAY[-1]}"
    lines.append(f"\nA process goes on by itself with one that is {waits}.")
    return lines


def fleet_states() -> list[str]:
    """The sections about a fleet's workers, their health, and a rollout: one row a transition."""
    lines: list[str] = []
    for title, table in (
        ("The states of a worker of a fleet", FLEET_WORKER_TRANSITIONS),
        ("The health of a worker of a fleet", HEALTH_TRANSITIONS),
        ("The phases of a rollout", ROLLOUT_TRANSITIONS),
    ):
        rows = [(before, after, why) for before, to in table.items() for after, why in to.items()]
        lines += [f"\n# {title}\n", "| from | to | when |", "| --- | --- | --- |"]
        lines += [f"| {before} | {after} | {why} |" for before, after, why in rows]
    return lines


def held_image_states() -> list[str]:
    """The section about pictures that are not delivered, one row a transition."""
    table = HELD_TRANSITIONS
    lines = ["\n# The states of a picture that is not delivered\n", "| from | to | when |", "| --- | --- | --- |"]
    return lines + [f"| {before} | {after} | {why} |" for before, to in table.items() for after, why in to.items()]


def appeal_states() -> list[str]:
    lines = ["\n# The states of an appeal\n", "```mermaid", "stateDiagram-v2", "  [*] --> open"]
    rows = [(before, after, why) for before, to in APPEAL_TRANSITIONS.items() for after, why in to.items()]
    lines += [f"  {before} --> {after}" for before, after, _ in rows]
    lines += ["```\n", "| from | to | when |", "| --- | --- | --- |"]
    lines += [f"| {before} | {after} | {why} |" for before, after, why in rows]
    lines.append("\n`upheld`: the refusal was right. `overturned`: it was wrong.")
    return lines


def settings() -> str:
    lines = [NOTICE, "# Settings\n"]
    lines.append("Each is an environment variable `MEZZOTINT_<NAME>`; flags of the commands win over it.\n")
    lines += ["| name | default | what |", "| --- | --- | --- |"]
    for name, field in Settings.model_fields.items():
        default = "" if field.default is None else f"`{field.default}`"
        lines.append(f"| `MEZZOTINT_{name.upper()}` | {default} | {field.description} |")
    return "\n".join(lines) + "\n"


def models() -> str:
    lines = [NOTICE, "# The list of models\n"]
    lines.append(
        "`--models FILE`, or `MEZZOTINT_MODELS`: a TOML file of tables `[[models]]`, the first the default.\n"
        "[How it is used](../how-to/another-model.md).\n"
    )
    lines += _keys(ModelEntry)
    lines.append("\n`quantization` is a table:\n")
    lines += _keys(Quantization)
    lines.append("\nStyles (LoRA) are tables `[[styles]]`; [how they are used](../how-to/styles.md):\n")
    lines += _keys(StyleEntry)
    lines.append("\nEmbeddings are tables `[[embeddings]]`; [how they are used](../how-to/embeddings.md):\n")
    lines += _keys(EmbeddingEntry)
    lines.append("\nWhat a machine cannot do (CUDA's options on a CPU, a package that is missing) stops the start.")
    return "\n".join(lines) + "\n"


def fleet() -> str:
    lines = [NOTICE, "# The file of a fleet\n"]
    lines.append(
        "A TOML file of pools of workers, for `mezzotint fleet`; `deploy/fleet.toml` is an example. `mezzotint fleet\n"
        "check FILE --models models.toml` names every fault by its pool and key, and what to do about it; it starts\n"
        f"nothing. At most {MAX_FILE_BYTES >> 10} KiB. [How the fleet decides](../explanation/fleet.md).\n"
    )
    lines += _keys(FleetDocument)
    lines.append("\nA pool is a table `[[pools]]`:\n")
    lines += _keys(PoolEntry)
    lines.append(f"\nIts `settings` may be {', '.join(f'`{name}`' for name in WORKER_SETTINGS)};")
    lines.append("[what they do](settings.md).")
    lines.append("\nA region is a table `[[regions]]`; a file without one has the region `default`:\n")
    lines += _keys(RegionEntry)
    lines.append("\nAccelerators, and the memory of the smallest device of the name:\n")
    lines += ["| accelerator | GiB |", "| --- | --- |"]
    known = ACCELERATORS.items()
    lines += [f"| `{name}` | {'the machine' if room is None else room // GIB} |" for name, room in known]
    return "\n".join(lines) + "\n"


def _keys(form: type[BaseModel]) -> list[str]:
    lines = ["| key | default | what |", "| --- | --- | --- |"]
    for name, field in form.model_fields.items():
        default = "required" if field.is_required() else _toml(field.default)
        lines.append(f"| `{name}` | {default} | {field.description} |")
    return lines


def _toml(value: object) -> str:
    if value is None or value is PydanticUndefined or value in ((), ""):
        return ""
    if isinstance(value, tuple):
        return f"`{json.dumps([str(one) for one in value])}`"
    return f"`{str(value).lower()}`" if isinstance(value, bool) else f"`{value}`"


def errors() -> str:
    lines = [NOTICE, "# Error codes\n"]
    lines.append('The API answers `{"error": {"code", "message", "hint", "param"}}`: what was wrong, and what to do.\n')
    lines.append(
        "The message stands in the header `X-Error` too, and as the reason in the status line of HTTP/1.1, for\n"
        "clients that drop bodies; `X-Request-Id` names the request in the log.\n"
    )
    lines.append(
        "A tenant that has reached a limit of number gets 429, a full server answers 503; `Retry-After` says when to\n"
        "try again.\n"
    )
    lines += ["## Requests\n", "| code | status | meaning |", "| --- | --- | --- |"]
    lines += [f"| `{code}` | {kind.status} | {kind.meaning} |" for code, kind in ERRORS.items()]
    lines.append("\n## Failed jobs\n")
    lines.append(
        "The `error` of a job; the status is of OpenAI's and AUTOMATIC1111's routes, which wait for their jobs.\n"
    )
    lines += ["| code | status | meaning | what to do |", "| --- | --- | --- | --- |"]
    faults = list(tree(JobFault))
    lines += [f"| `{one.code}` | {find_status(one.code)} | {first_line(one)} | {one.hint} |" for one in faults]
    lines += ["\n## Commands\n", "| code | meaning | what to do |", "| --- | --- | --- |"]
    others = [one for one in tree(MezzotintError) if not issubclass(one, JobFault)]
    lines += [f"| `{one.code}` | {first_line(one)} | {one.hint} |" for one in others]
    return "\n".join(lines) + "\n"


def gates() -> str:
    lines = [NOTICE, "# The gates of `mezzotint eval`\n"]
    lines.append(
        "A figure that misses its bound fails the run: exit code 6. A gate whose figure was not measured, or on fewer\n"
        "rows or pictures than it needs, or that compares with an accepted run where there is none, is withheld: the\n"
        "report says why, and the exit code stays 0. A file for `--gates` has the form of\n"
        "`src/mezzotint/evals/gates.toml` and replaces the gates that it names:\n"
    )
    lines += ["```toml", '[safety."golden_benign.refused"]', "below = 0.02", "min_num = 500", "```\n"]
    lines.append(
        "`at_least`, `at_most`, `above`, `below` bound the value; `max_drop` and `max_rise` bound the change against\n"
        "the accepted run; `min_num` is the number of rows or pictures that the gate needs.\n"
    )
    lines += ["| evaluation | figure | bound | needs |", "| --- | --- | --- | --- |"]
    for suite, table in load_gates().items():
        lines += [f"| {suite} | `{name}` | {gate.describe()} | {gate.min_num or ''} |" for name, gate in table.items()]
    return "\n".join(lines) + "\n"


def metrics() -> str:
    lines = [NOTICE, "# Metrics\n"]
    lines.append(
        "`GET /metrics` in Prometheus' text format, for operators: with `Authorization: Bearer` and the setting\n"
        "`MEZZOTINT_METRICS_TOKEN`, or, while that is unset, from the server's own machine. Counters are of the\n"
        "process that answers. Times are seconds.\n"
    )
    lines += ["| metric | kind | labels | what |", "| --- | --- | --- | --- |"]
    kinds = (Counter, Gauge, Histogram)
    for made in (value for value in vars(Metrics()).values() if isinstance(value, kinds)):
        (described,) = made.describe()
        name = described.name + ("_total" if described.type == "counter" else "")
        labels = ", ".join(f"`{label}`" for label in made._labelnames)
        lines.append(f"| `{name}` | {described.type} | {labels} | {described.documentation} |")
    lines.append("\nAnd the usual `process_*` of the process itself.")
    return "\n".join(lines) + "\n"


def prompt_parameters() -> str:
    """The page as it is, its tables made anew."""
    page = (DOCS / "reference/prompt-parameters.md").read_text(encoding="utf-8")
    taken = ["| parameter | takes | does |", "| --- | --- | --- |"]
    for one in PARAMETERS:
        names = ", ".join(
            [f"`{f'--{one.name} {one.form.placeholder}'.strip()}`", *(f"`--{name}`" for name in one.aliases)]
        )
        taken.append(f"| {names} | {one.form.takes} | {one.does} |")
    refused = ["| parameter | what it is |", "| --- | --- |"]
    for name, meaning in UNSUPPORTED.items():
        short = [f", `--{letter}`" for letter, long in UNSUPPORTED_SHORT.items() if long == name]
        refused.append(f"| `--{name}`{''.join(short)} | {meaning} |")
    return between(between(page, "parameters", taken), "refused", refused)


def parameter_pictures() -> str:
    rows = runpy.run_path(str(DOCS / "parameter_pictures.py"))
    lines = [NOTICE, "# What each parameter did\n"]
    lines.append(
        "On the built-in model, drawn by `python docs/parameter_pictures.py`; each row is of the prompts beside it,\n"
        f"in their order. Those of `--iw` are variations of the picture at the left, `{rows['SOURCE']}`.\n"
    )
    lines += ["| parameter | prompts | pictures |", "| --- | --- | --- |"]
    for one in PARAMETERS:
        prompts = "<br>".join(f"`{prompt}`" for prompt in rows["ROWS"][one.name].prompts)
        lines.append(f"| `--{one.name}` | {prompts} | ![--{one.name}](../images/parameters/{one.name}.webp) |")
    return "\n".join(lines) + "\n"


def between(page: str, name: str, lines: list[str]) -> str:
    """The page with other lines between its two marks of that name."""
    before, mark, rest = page.partition(f"<!-- made from the code: {name} -->\n")
    _, end, after = rest.partition("<!-- until here -->\n")
    assert mark
    assert end
    return "".join([before, mark, *(f"{line}\n" for line in lines), end, after])


def tree(kind: type[MezzotintError]) -> Iterator[type[MezzotintError]]:
    """Every class under `kind` that the domain defines, parents first."""
    for child in kind.__subclasses__():
        if child.__module__ == "mezzotint.domain.errors":
            yield child
            yield from tree(child)


def first_line(kind: type[MezzotintError]) -> str:
    return (kind.__doc__ or "").strip().splitlines()[0]


if __name__ == "__main__":
    for path, text in pages().items():
        (DOCS / path).write_text(text, encoding="utf-8")
        sys.stdout.write(f"docs/{path}\n")
