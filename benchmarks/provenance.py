"""What content credentials cost a file: CPU time to sign and to read, and bytes.

    python benchmarks/provenance.py [--rounds 20] [--out benchmarks/results/provenance.json]

Noise, the worst picture for size, in the four formats that carry a manifest; a development authority made for it.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mezzotint.domain.job import Parameters
from mezzotint.provenance import Identity, PictureSigner, read_credentials
from mezzotint.provenance.authority import AuthorityFiles, make_authority
from mezzotint.provenance.manifest import Model, describe_drawing

sys.path.insert(0, str(Path(__file__).parent))
from serve import hardware

SIDES = (64, 512, 1024)
FORMATS = ("PNG", "WEBP", "JPEG", "AVIF")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "provenance.json")
    arguments = parser.parse_args()
    result: dict[str, Any] = {"hardware": hardware(), "rounds": arguments.rounds, "files": []}
    with tempfile.TemporaryDirectory() as scratch:
        files = AuthorityFiles(Path(scratch) / "own")
        make_authority(files.folder)
        signer = PictureSigner(Identity.from_files(files.chain, files.key))
        root = files.root.read_text()
    for side in SIDES:
        parameters = make_parameters(side)
        manifest = describe_drawing(parameters, Model(name="model", sha256="ab" * 32), datetime.now(UTC))
        for form in FORMATS:
            plain = draw(side, form)
            signed = signer.sign(plain, manifest)
            row = {
                "side_px": side,
                "format": form,
                "bytes": len(plain),
                "manifest_bytes": len(signed) - len(plain),
                "sign_ms": cpu_ms(arguments.rounds, partial(signer.sign, plain, manifest)),
                "read_ms": cpu_ms(arguments.rounds, partial(read_credentials, signed, root)),
                "validity": read_credentials(signed, root).validity.value,
            }
            result["files"].append(row)
            print(json.dumps(row), flush=True)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")


def make_parameters(side: int) -> Parameters:
    return Parameters(
        prompt="a red apple",
        negative_prompt="",
        seed=7,
        num_steps=30,
        guidance_scale=3.5,
        width=side,
        height=side,
    )


def draw(side: int, form: str) -> bytes:
    pixels = np.random.default_rng(7).integers(0, 255, (side, side, 3), np.uint8)
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, form)
    return buffer.getvalue()


def cpu_ms(rounds: int, work: Callable[[], object]) -> float:
    """Median CPU time of one call."""
    times = []
    for _ in range(rounds):
        begun = time.process_time()
        work()
        times.append((time.process_time() - begun) * 1e3)
    return round(statistics.median(times), 2)


if __name__ == "__main__":
    main()
