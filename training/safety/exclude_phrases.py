"""Find the phrases that are near copies of what measures the filter, and write their keys.

    python training/safety/exclude_phrases.py

Run it after a change to `phrases*.csv` or to the golden sets: `phrases.py` leaves out what stands in
`phrases_excluded.csv` (the first 16 digits of the SHA-256 of the text).
"""

from pathlib import Path

from phrases import EXCLUDED, expand_lines
from rows import key_of

from mezzotint.evals.golden_sets import load_adversarial, load_benign
from mezzotint.evals.near_copies import find_near_copies


def main() -> None:
    golden = [prompt.text for prompt in load_adversarial() if not prompt.base] + [
        prompt.text for prompt in load_benign()
    ]
    texts = [phrase.text for phrase in expand_lines()]
    found = sorted({key_of(copy.text) for copy in find_near_copies(texts, golden)})
    Path(EXCLUDED).write_text("\n".join(["row", *found]) + "\n", encoding="utf8")
    print(f"{len(found)} of {len(texts)}")


if __name__ == "__main__":
    main()
