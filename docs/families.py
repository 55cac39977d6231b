"""The page of families that were served, made of the result file of `benchmarks/families.py`."""

import json
from pathlib import Path
from typing import Any

RESULT = Path(__file__).parent.parent / "benchmarks" / "results" / "families.json"


def page(notice: str) -> str:
    found: dict[str, dict[str, Any]] = json.loads(RESULT.read_text(encoding="utf-8"))["families"]
    lines = [notice, "# Families that were served\n"]
    lines.append(
        "A tiny model of each, with random weights, its text encoders and tokenizers, written as a folder by\n"
        "diffusers: found, checked and loaded as a server does it, drawn with for each task at its smallest size, and\n"
        "by two requests alone, together and resumed. `difference`: the largest of a picture to the stock call's, in\n"
        "levels of 0 to 255; exact mode chooses other kernels than the stock call: it promises the same bits in any\n"
        "company, not those of the stock call. By `PYTHONPATH=. python benchmarks/families.py`, on a CPU. What a\n"
        "trained model draws is not looked at here; `mezzotint models check` tries one of yours in the same way.\n"
    )
    lines += ["| family | pipeline | tasks | smallest | shares passes | resumes | difference |", "| --- " * 7 + "|"]
    for name, one in sorted(found.items()):
        if "pipeline" not in one:
            told = "refused" if "refused" in one else "fails"
            lines.append(f"| {name} | {told}: {one[told]} | | | | | |")
            continue
        cells = [name, f"`{one['pipeline']}`", ", ".join(one["tasks"]), f"{one['smallest_px']} px"]
        cells += [one["batches"], one["resumes"], f"{one['difference']:g}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"
