"""Draw pictures with the starter and list them with their own prompt (label 1) and another one's (label 0).

python label_pictures.py OUT [--seeds 1]; then: mezzotint eval calibrate --labels OUT/labels.csv

The labels are by construction: the starter does not always draw what it was asked for, so a perfect score is not to be
had. The seeds begin at 1001: none is one of those that `mezzotint eval` draws.
"""

import argparse
import csv
from pathlib import Path

from grid import draw, load

LISTS = ("prompts.txt", "prompts_everyday.txt", "prompts_wider.txt")
FIRST_SEED = 1001
SHIFT = 11  # places to the prompt of label 0: neighbours in the lists are of one kind
BATCH = 16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--starter", type=Path, default=Path(__file__).parents[1] / "src/mezzotint/starter")
    parser.add_argument("--seeds", type=int, default=1)
    asked = parser.parse_args()
    here = Path(__file__).parent
    prompts = [line for name in LISTS for line in (here / name).read_text().splitlines() if line]
    asked.out.mkdir(parents=True, exist_ok=True)
    pipeline = load(asked.starter)
    with (asked.out / "labels.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["file", "prompt", "label"])
        for seed in range(FIRST_SEED, FIRST_SEED + asked.seeds):
            for start in range(0, len(prompts), BATCH):
                batch = prompts[start : start + BATCH]
                for place, picture in enumerate(draw(pipeline, batch, seed, 3.5), start=start):
                    name = f"{seed}-{place}.png"
                    picture.save(asked.out / name)
                    rows.writerow([name, prompts[place], 1])
                    rows.writerow([name, prompts[(place + SHIFT) % len(prompts)], 0])
            print(f"seed {seed} drawn", flush=True)


if __name__ == "__main__":
    main()
