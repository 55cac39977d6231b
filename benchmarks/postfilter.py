"""The image filter: time and memory by classifier, harmless pictures of the starter, and damaged pictures.

    python benchmarks/postfilter.py [--out benchmarks/results/postfilter.json] [--starter 360] [--fuzzed 10000]
                                    [--drawn FOLDER]

Each classifier is loaded in a process of its own; times are of the processor, on one thread. The starter's pictures
are of the names in training/concepts.txt and training/prompts_wider.txt, 30 steps, 64 px. Damaged files go the way of
an upload (decoder process, filter); pictures of odd modes and shapes go the way of a finished one.
--drawn: a folder where the starter's pictures are kept: those that are there are not drawn again.
"""

import argparse
import json
import random
import re
import resource
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.decoding import PeakMemory
from benchmarks.serve import hardware
from tests.making_pictures import mutations, noise

ROOT = Path(__file__).parents[1]
CLASSIFIERS = ("open_nsfw", "graphic", "young_face", "text", "hash")
SIDES = (64, 512, 1024)
MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV", "I", "I;16", "F")
ODD_SHARE = 0.2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "postfilter.json")
    parser.add_argument("--starter", type=int, default=360)
    parser.add_argument("--drawn", type=Path)
    parser.add_argument("--fuzzed", type=int, default=10_000)
    parser.add_argument("--one", choices=CLASSIFIERS, help="measure one classifier, and print it")
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(arguments.one)))
        return
    result: dict[str, Any] = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    result["hardware"] = hardware()
    command = [sys.executable, __file__, "--one"]
    result["classifiers"] = {
        name: json.loads(subprocess.run([*command, name], capture_output=True, check=True, text=True).stdout)
        for name in CLASSIFIERS
    }
    if arguments.starter:
        result["starter"] = judge_starter(arguments.starter, arguments.drawn)
        arguments.out.write_text(json.dumps(result, indent=2) + "\n")
    if arguments.fuzzed:
        result["fuzzed"] = fuzz(arguments.fuzzed)
    arguments.out.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


def measure(name: str) -> dict[str, Any]:
    """Milliseconds of the processor by side of the picture, the median of nine, and MiB of memory."""
    from mezzotint.policy.safety.image_classifiers import ClassifierEntry, ImageUse
    from mezzotint.safety.image import loading
    from mezzotint.safety.image.perceptual_hash import hash_picture

    pictures = {side: noise(side // 8, side // 8, 90).resize((side, side), Image.Resampling.BICUBIC) for side in SIDES}
    before_mib, begun = _peak_mib(), time.process_time()
    entry = ClassifierEntry(uses=(ImageUse.FINISHED,))
    score = hash_picture if name == "hash" else loading._load(name, entry, loading._load_built_in_judge).score
    score(pictures[64])
    load_s = time.process_time() - begun
    took = {}
    for side, picture in pictures.items():
        times = []
        for _ in range(9):
            begun = time.process_time()
            score(picture)
            times.append(time.process_time() - begun)
        took[str(side)] = round(1000 * statistics.median(times), 1)
    return {"cpu_ms_by_side_px": took, "load_and_first_cpu_s": round(load_s, 2), "mib": round(_peak_mib() - before_mib)}


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def judge_starter(count: int, drawn: Path | None) -> dict[str, Any]:
    """Draw harmless pictures and judge them as finished ones."""
    from mezzotint.safety.image.loading import load_postfilter
    from mezzotint.safety.policy_file import load_policy

    image_filter = load_postfilter(load_policy())
    verdicts: Counter[str] = Counter()
    scores: dict[str, list[float]] = {}
    suspicious: list[str] = []
    num_previews_blocked = 0
    for prompt, picture in draw_starter(count, drawn):
        verdict = image_filter.check(picture)
        verdicts[verdict.verdict] += 1
        num_previews_blocked += image_filter.is_preview_blocked(picture)
        for classifier, of_one in verdict.scores.items():
            for name, score in of_one.items():
                scores.setdefault(f"{classifier}.{name}", []).append(score)
        if "young_face" in verdict.scores:
            suspicious.append(prompt)
    return {
        "pictures": count,
        "verdicts": dict(verdicts),
        "blocked_as_previews": num_previews_blocked,
        "faces_were_looked_for_in": suspicious,
        "scores": {
            name: {
                "max": round(max(found), 3),
                "p99": round(float(np.percentile(found, 99)), 3),
                "median": round(statistics.median(found), 3),
            }
            for name, found in scores.items()
        },
    }


def draw_starter(count: int, drawn: Path | None) -> Iterator[tuple[str, Image.Image]]:
    if drawn is not None and len(kept := sorted(drawn.glob("*.png"))) >= count:
        yield from ((path.stem, Image.open(path).convert("RGB")) for path in kept[:count])
        return
    sys.path.insert(0, str(ROOT / "training"))
    import grid  # type: ignore[import-not-found]

    lines = (ROOT / "training" / "concepts.txt").read_text().splitlines()
    names = [re.split("[|=]", line.lstrip("* "))[0].strip() for line in lines if line and not line.startswith("#")]
    wider = (ROOT / "training" / "prompts_wider.txt").read_text().splitlines()
    prompts = [*wider, *random.Random(3).sample(names, max(0, count - len(wider)))][:count]
    pipeline = grid.load(ROOT / "src" / "mezzotint" / "starter")
    for begin in range(0, count, 8):
        some = prompts[begin : begin + 8]
        for number, (name, picture) in enumerate(
            zip(some, grid.draw(pipeline, [f"a {name}" for name in some], begin, 5.0), strict=True), begin
        ):
            if drawn is not None:
                picture.save(drawn / f"{number:04} {re.sub('[^a-z ]', '', name.lower())}.png")
            yield name, picture


def fuzz(count: int) -> dict[str, Any]:
    """Damaged files as uploads, and pictures of odd modes and shapes as finished ones."""
    from mezzotint.domain.tier import Tier
    from mezzotint.media.uploads import Undecodable
    from mezzotint.media.uploads.decoder_pool import DecoderPool
    from mezzotint.policy.safety.image_classifiers import ImageUse
    from mezzotint.safety.image.loading import load_postfilter
    from mezzotint.safety.policy_file import load_policy

    image_filter = load_postfilter(load_policy())
    lost: list[None] = []
    outcomes: Counter[str] = Counter()
    crashes: list[str] = []
    worst = {"file": (0.0, ""), "picture": (0.0, "")}
    num_odd = int(count * ODD_SHARE)
    with closing(DecoderPool(on_lost=lambda: lost.append(None))) as pool, PeakMemory(psutil.Process().pid) as peak:
        for name, data in mutations(count - num_odd, seed=14):
            begun = time.monotonic()
            try:
                decoded = pool.decode(data)
                view = Image.frombytes("RGB", decoded.view_size, decoded.view)
                outcomes[f"file: {image_filter.check(view, Tier.FREE, ImageUse.UPLOAD).verdict}"] += 1
            except Undecodable:
                outcomes["file: refused by the decoder"] += 1
            except Exception as error:  # noqa: BLE001  (any is a crash)
                crashes.append(f"{name}: {type(error).__name__}: {error}")
            worst["file"] = max(worst["file"], (time.monotonic() - begun, name))
        for name, picture in odd_pictures(num_odd):
            begun = time.monotonic()
            try:
                outcomes[f"picture: {image_filter.check(picture).verdict}"] += 1
            except Exception as error:  # noqa: BLE001  (any is a crash)
                crashes.append(f"{name}: {type(error).__name__}: {error}")
            worst["picture"] = max(worst["picture"], (time.monotonic() - begun, name))
    return {
        "pictures": count,
        "outcomes": dict(outcomes),
        "crashes": crashes,
        "decoder_processes_lost": len(lost),
        "worst_s": {kind: {"s": round(seconds, 3), "was": name} for kind, (seconds, name) in worst.items()},
        "peak_mib_with_this_script": round(peak.mib),
    }


def odd_pictures(count: int) -> Iterator[tuple[str, Image.Image]]:
    """Every mode, and shapes from one pixel to a line of thousands; one in a hundred is large."""
    dice = random.Random(5)
    for number in range(count):
        mode = MODES[number % len(MODES)]
        sides = (1, 2, 7, 63, 64, 65, 300) if number % 100 else (1024, 2048, 4096)
        width, height = dice.choice(sides), dice.choice(sides)
        if dice.random() < 0.1:
            width, height = dice.choice([(4000, 1), (1, 4000), (2000, 3)])
        kind = dice.choice(["noise", "plain", "shapes"])
        yield f"{mode} {width}x{height} {kind}", make_odd(dice, mode, (width, height), kind)


def make_odd(dice: random.Random, mode: str, size: tuple[int, int], kind: str) -> Image.Image:
    if kind == "noise":
        base = Image.effect_noise(size, dice.uniform(1, 120))
    elif kind == "plain":
        base = Image.new("L", size, dice.randrange(256))
    else:
        base = Image.effect_noise((5, 5), 120).resize(size, Image.Resampling.BICUBIC)
    if mode in {"I;16", "I", "F", "1"}:
        return base.convert("I").convert(mode) if mode == "I;16" else base.convert(mode)
    if mode in {"LA", "PA", "P", "L"}:
        return base.convert(mode)
    return base.convert("RGB").convert(mode)


if __name__ == "__main__":
    main()
