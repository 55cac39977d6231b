"""Choose, shrink, recolour and caption the pictures that the denoiser learns from.

Reads WORK/drawn.*; writes WORK/pictures.npy ([n, 64, 64, 3] uint8) and WORK/examples.json (captions of each, and
whether it was chosen for its colour).
"""

import argparse
import json
from pathlib import Path

import numpy as np
from art import drawings, on_white, pixels, shrink
from captions import ask, ask_in_colour, concepts
from recolour import recolour

STYLE = "fluent"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    work = parser.parse_args().work
    drawn = {drawing.label: (row, drawing) for row, drawing in enumerate(drawings(work)) if drawing.style == STYLE}
    art = pixels(work)
    pictures, examples = [], []
    for concept in concepts(Path(__file__).with_name("concepts.txt")):
        row, drawing = drawn[concept.label]
        picture = on_white(art[row])
        pictures.append(shrink(picture))
        examples.append({"captions": ask(concept, drawing.tags), "is_coloured": False, "weight": concept.weight})
        if concept.can_change_colour:
            for colour, turned in recolour(picture).items():
                pictures.append(shrink(turned))
                captions = ask_in_colour(concept, colour)
                examples.append({"captions": captions, "is_coloured": True, "weight": concept.weight})
    np.save(work / "pictures.npy", np.stack(pictures))
    (work / "examples.json").write_text(json.dumps(examples))
    num_coloured = sum(bool(example["is_coloured"]) for example in examples)
    print(f"{len(examples) - num_coloured} things, {num_coloured} more pictures for their colours")


if __name__ == "__main__":
    main()
