"""Measure the text filter: what it catches and what it blocks by mistake.

    python benchmarks/prefilter.py unsafe.csv benign.csv ... [--rules FILE] [--half 0|1] [--where hard=0]

Each CSV has a header with `prompt`, `label` ("safe", or anything else for what should be blocked) and `category`.
Prompts are never printed. `--half` keeps every other row by a hash of its text: write rules on one half, report the
other. `--where` keeps the rows with that value in that column, where the file has the column.
"""

import argparse
import csv
from collections import Counter
from hashlib import sha256
from pathlib import Path
from statistics import median
from time import perf_counter

from mezzotint.safety.text.prefilter import PreFilter


def rows_of(path: Path, half: int | None, where: str) -> list[dict[str, str]]:
    column, _, value = where.partition("=")
    with path.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row.get(column, value) == value]
    return [row for row in rows if half is None or sha256(row["prompt"].encode()).digest()[0] % 2 == half]


def measure(path: Path, rows: list[dict[str, str]], prefilter: PreFilter, min_rows: int) -> list[float]:
    seconds: list[float] = []
    seen: Counter[str] = Counter()
    blocked: Counter[str] = Counter()
    safe_blocked = safe_seen = 0
    for row in rows:
        before = perf_counter()
        is_blocked = prefilter.check(row["prompt"]) is not None
        seconds.append(perf_counter() - before)
        seen[row["category"]] += 1
        blocked[row["category"]] += is_blocked
        if row["label"] == "safe":
            safe_seen += 1
            safe_blocked += is_blocked
    num_unsafe, num_caught = sum(seen.values()) - safe_seen, sum(blocked.values()) - safe_blocked
    print(f"\n{path.name}: {sum(seen.values())} rows")
    if num_unsafe:
        print(f"  caught          {num_caught:5d} of {num_unsafe:5d}  {num_caught / num_unsafe:7.2%}")
    if safe_seen:
        print(f"  blocked wrongly {safe_blocked:5d} of {safe_seen:5d}  {safe_blocked / safe_seen:7.2%}")
    for category, count in seen.most_common():
        if count >= min_rows:
            print(f"    {blocked[category]:5d} of {count:5d}  {blocked[category] / count:7.2%}  {category}")
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("csv", nargs="+", type=Path)
    parser.add_argument("--rules", type=Path, help="an operator's rules on top of the built-in ones")
    parser.add_argument("--half", type=int, choices=(0, 1))
    parser.add_argument("--where", default="", metavar="COLUMN=VALUE")
    parser.add_argument("--min-rows", type=int, default=30, help="smallest category to list")
    asked = parser.parse_args()
    before = perf_counter()
    prefilter = PreFilter.load(asked.rules)
    print(f"rules loaded in {(perf_counter() - before) * 1e3:.0f} ms")
    seconds: list[float] = []
    for path in asked.csv:
        seconds += measure(path, rows_of(path, asked.half, asked.where), prefilter, asked.min_rows)
    seconds.sort()
    if seconds:
        p99 = seconds[len(seconds) * 99 // 100]
        print(f"\ntime of a check: p50 {median(seconds) * 1e6:.0f} us, p99 {p99 * 1e6:.0f} us")


if __name__ == "__main__":
    main()
