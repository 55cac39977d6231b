"""How soon a rollout of a worse version goes back, and how often one of an equal version does, by simulation.

    python benchmarks/fleet_rollout.py [--rollouts 300] [--out benchmarks/results/fleet_rollout.json]

Eight workers are replaced one by one, each with twenty runs before the next; the test is made after every run.
"""

import argparse
import json
import platform
from pathlib import Path
from statistics import median

from mezzotint.policy.fleet.health import RunCounts
from mezzotint.policy.fleet.rollout import ROLLOUT_RULES, is_worse
from mezzotint.sim.rng import Rng

NUM_WORKERS, NUM_EARLIER = 8, 500
SHARES = ((0.01, 0.01), (0.05, 0.05), (0.01, 0.05), (0.01, 0.1), (0.01, 0.3), (0.01, 1.0))
"""Of runs that fail: of the old version, of the new one."""


def roll_out(rng: Rng, old_share: float, new_share: float) -> RunCounts | None:
    """The runs of new workers when it went back; None: it did not."""
    old, new = [NUM_EARLIER, sum(rng.uniform() < old_share for _ in range(NUM_EARLIER))], [0, 0]
    for num_new in range(1, NUM_WORKERS + 1):
        for _ in range(ROLLOUT_RULES.proof_runs):
            for _ in range(num_new):
                new[0] += 1
                new[1] += rng.uniform() < new_share
                counts = RunCounts(num_runs=new[0], num_failed=new[1])
                if is_worse(counts, RunCounts(num_runs=old[0], num_failed=old[1])):
                    return counts
            for _ in range(NUM_WORKERS - num_new):
                old[0] += 1
                old[1] += rng.uniform() < old_share
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rollouts", type=int, default=300)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    rows = []
    for old_share, new_share in SHARES:
        rng = Rng(1)
        ends = [roll_out(rng, old_share, new_share) for _ in range(asked.rollouts)]
        back = [end for end in ends if end is not None]
        row = {"old fail": old_share, "new fail": new_share, "went back": round(len(back) / len(ends), 4)}
        if len(back) > 0.5 * len(ends):
            row |= {"runs, median": median(end.num_runs for end in back)}
            row |= {"failed, median": median(end.num_failed for end in back)}
        rows.append(row)
        print(row, flush=True)
    hardware = f"{platform.machine()}, Python {platform.python_version()}"
    result = {"workers": NUM_WORKERS, "rollouts": asked.rollouts, "rows": rows, "hardware": hardware}
    if asked.out:
        asked.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
