"""Measure the text filter: what it catches, what it blocks by mistake, and what a prompt costs at each stage.

    python benchmarks/prefilter.py unsafe.csv benign.csv ... [--rules FILE] [--half 0|1] [--where hard=0] [--rules-only]
    python benchmarks/prefilter.py --latency [--rounds 300]

Each CSV has a header with `prompt`, `label` ("safe", or anything else for what should be blocked) and `category`.
Prompts are never printed. `--half` keeps every other row by a hash of its text: write rules on one half, report the
other. `--where` keeps the rows with that value in that column, where the file has the column. Latencies are CPU time of
one thread, on prompts of words drawn at random, each measured once: nothing is remembered.
"""

import argparse
import csv
from collections import Counter
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from random import Random
from statistics import median
from time import perf_counter, thread_time

from mezzotint.safety.text.load import load_text_filter
from mezzotint.safety.text.prefilter import PreFilter
from mezzotint.safety.text.text_filter import TextFilter

LENGTHS = (22, 48, 128)
"""Tokens of the encoder."""
LONGEST = 2_000
"""Characters: the longest prompt that is taken."""
TEXT = (
    "a red apple on an old wooden table near the window with soft morning light watercolour paper lake boat reeds "
    "mountain village street market lantern portrait smiling sailor cat sleeping piano garden roses castle storm clouds"
)
WORDS = TEXT.split()


def rows_of(path: Path, half: int | None, where: str) -> list[dict[str, str]]:
    column, _, value = where.partition("=")
    with path.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row.get(column, value) == value]
    return [row for row in rows if half is None or sha256(row["prompt"].encode()).digest()[0] % 2 == half]


def measure(path: Path, rows: list[dict[str, str]], text_filter: TextFilter, min_rows: int) -> list[float]:
    seconds: list[float] = []
    seen: Counter[str] = Counter()
    blocked: Counter[str] = Counter()
    safe_blocked = safe_seen = 0
    for row in rows:
        before = thread_time()
        is_blocked = text_filter.judge(row["prompt"]).is_blocked
        seconds.append(thread_time() - before)
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


def measure_latency(num_rounds: int) -> None:
    memory_mb, before = resident_mb(), thread_time()
    rules = PreFilter.load()
    print(f"rules:      loaded in {thread_time() - before:.2f} s CPU, {resident_mb() - memory_mb:.0f} MiB")
    from mezzotint.safety.text.classifier import TextClassifier

    memory_mb, before = resident_mb(), thread_time()
    classifier = TextClassifier()
    print(f"classifier: loaded in {thread_time() - before:.2f} s CPU, {resident_mb() - memory_mb:.0f} MiB")
    stages: dict[str, Callable[[str], object]] = {
        "rules": rules.find_rule,
        "language": classifier._languages.identify,
        "rules, fast head": lambda text: (rules.find_rule(text), classifier.score_fast(text)),
    }
    if classifier._strong is not None:
        stages["whole cascade"] = lambda text: (
            rules.find_rule(text),
            classifier.score_strong(classifier.score_fast(text)),
        )
    random = Random(1)
    for num_tokens in (*LENGTHS, None):
        label = f"{LONGEST} characters" if num_tokens is None else f"{num_tokens} tokens"
        for name, stage in stages.items():
            seconds = []
            for _ in range(num_rounds):
                text = compose(random, num_tokens)
                before = thread_time()
                stage(text)
                seconds.append(thread_time() - before)
            print(f"{label:16} {name:18} {describe(seconds)}")


def compose(random: Random, num_tokens: int | None) -> str:
    """A prompt of so many words, about as many tokens; None: of the longest prompt's length."""
    if num_tokens is not None:
        return " ".join(random.choice(WORDS) for _ in range(num_tokens))
    return " ".join(random.choice(WORDS) for _ in range(LONGEST))[:LONGEST]


def describe(seconds: list[float]) -> str:
    ordered = sorted(seconds)
    p99 = ordered[len(ordered) * 99 // 100]
    return f"p50 {median(ordered) * 1e3:6.2f} ms   p99 {p99 * 1e3:6.2f} ms   max {ordered[-1] * 1e3:6.2f} ms"


def resident_mb() -> float:
    """MiB of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("csv", nargs="*", type=Path)
    parser.add_argument("--rules", type=Path, help="an operator's rules on top of the built-in ones")
    parser.add_argument("--rules-only", action="store_true", help="without the trained heads")
    parser.add_argument("--half", type=int, choices=(0, 1))
    parser.add_argument("--where", default="", metavar="COLUMN=VALUE")
    parser.add_argument("--min-rows", type=int, default=30, help="smallest category to list")
    parser.add_argument("--latency", action="store_true", help="measure the stages on prompts of fixed lengths")
    parser.add_argument("--rounds", type=int, default=300, help="prompts of each length")
    asked = parser.parse_args()
    if asked.latency:
        measure_latency(asked.rounds)
        return
    before = perf_counter()
    text_filter = load_text_filter(rules=asked.rules, policy=None, uses_classifier=not asked.rules_only)
    text_filter.wait_until_loaded()
    print(f"loaded in {perf_counter() - before:.1f} s")
    seconds: list[float] = []
    for path in asked.csv:
        seconds += measure(path, rows_of(path, asked.half, asked.where), text_filter, asked.min_rows)
    if seconds:
        print(f"\ntime of a check: {describe(seconds)}")


if __name__ == "__main__":
    main()
