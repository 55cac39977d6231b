"""Average the weights of several trainings of the strong head, each with its share.

python training/safety/average_strong.py 0.4 A/model.pt 0.6 B/model.pt --out MEAN.pt
"""

import argparse
from pathlib import Path

import torch
from encoder import load_classifier
from torch import Tensor


def average_weights(shares: list[float], states: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The states' mean; of what is no number of a weight (positions) the first state's."""
    return {
        name: sum(share * state[name] for share, state in zip(shares, states, strict=True))
        if value.is_floating_point()
        else value
        for name, value in states[0].items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", help="a share and a file by turns")
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    shares = [float(share) for share in asked.models[::2]]
    states = [load_classifier(Path(path)).state_dict() for path in asked.models[1::2]]
    torch.save(average_weights(shares, states), asked.out)


if __name__ == "__main__":
    main()
