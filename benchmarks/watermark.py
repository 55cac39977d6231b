"""How much of a picture's mark outlives what people do to pictures, beside RivaGAN's.

    python benchmarks/watermark.py [--pictures FOLDER] [--side 512] [--out benchmarks/results/watermark.json]

Without a folder: the photographs of scikit-image and scikit-learn, where they are installed. RivaGAN is measured where
`invisible-watermark` (0.2.0, MIT) and PyWavelets are: it is no dependency. Its 32 bits have no check, so a reading is
right when all 32 are, and the share of right bits is given too (0.5 is chance). Times are CPU time.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mezzotint.provenance.watermark import embed_mark, find_mark

sys.path.insert(0, str(Path(__file__).parent))
from serve import hardware

KEY = b"a key of this benchmark"
PAYLOAD = 0xC0FFEE42
BITS = [(PAYLOAD >> place) & 1 for place in reversed(range(32))]
LANCZOS, BILINEAR = Image.Resampling.LANCZOS, Image.Resampling.BILINEAR
Read = Callable[[Image.Image], tuple[bool, float]]
"""Whether the payload is right, and the share of its bits that are."""


def code(picture: Image.Image, form: str, quality: int) -> Image.Image:
    buffer = BytesIO()
    picture.save(buffer, form, quality=quality)
    return Image.open(buffer).convert("RGB")


def scale(picture: Image.Image, factor: float, how: Image.Resampling = LANCZOS) -> Image.Image:
    return picture.resize((round(picture.width * factor), round(picture.height * factor)), how)


def crop(picture: Image.Image, part: float) -> Image.Image:
    width, height = round(picture.width * part), round(picture.height * part)
    left, top = (picture.width - width) // 3, (picture.height - height) * 2 // 3
    return picture.crop((left, top, left + width, top + height))


def photograph_screen(picture: Image.Image) -> Image.Image:
    """A screenshot: another size without care, other brightness, JPEG."""
    pixels = np.asarray(scale(picture, 0.83, BILINEAR), float) / 255
    return code(Image.fromarray(np.clip(pixels**0.9 * 263, 0, 255).astype(np.uint8)), "JPEG", 80)


ATTACKS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "none": lambda picture: picture,
    "resize 50 %": lambda picture: scale(picture, 0.5),
    "resize 200 %": lambda picture: scale(picture, 2),
    "JPEG 75": lambda picture: code(picture, "JPEG", 75),
    "JPEG 50": lambda picture: code(picture, "JPEG", 50),
    "JPEG 40": lambda picture: code(picture, "JPEG", 40),
    "WebP 75": lambda picture: code(picture, "WEBP", 75),
    "WebP 50": lambda picture: code(picture, "WEBP", 50),
    "AVIF 60": lambda picture: code(picture, "AVIF", 60),
    "crop to 75 % a side": lambda picture: crop(picture, 0.75),
    "crop to 50 % a side": lambda picture: crop(picture, 0.5),
    "crop 75 %, JPEG 75": lambda picture: code(crop(picture, 0.75), "JPEG", 75),
    "mirrored": lambda picture: picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "like a screenshot": photograph_screen,
    "rotated by 5 degrees": lambda picture: picture.rotate(5, Image.Resampling.BICUBIC),
}


def read_ours(picture: Image.Image) -> tuple[bool, float]:
    found = find_mark(picture, KEY)
    if found is None:
        return False, 0.5
    return found.payload == PAYLOAD, 1 - (found.payload ^ PAYLOAD).bit_count() / 32


def open_rivagan() -> tuple[Callable[[Image.Image], Image.Image], Read]:
    from imwatermark import WatermarkDecoder, WatermarkEncoder

    WatermarkEncoder.loadModel()
    encoder, decoder = WatermarkEncoder(), WatermarkDecoder("bits", 32)
    encoder.set_watermark("bits", BITS)

    def write(picture: Image.Image) -> Image.Image:
        bgr = np.asarray(picture)[:, :, ::-1].copy()
        return Image.fromarray(encoder.encode(bgr, "rivaGan")[:, :, ::-1].copy())

    def read(picture: Image.Image) -> tuple[bool, float]:
        if min(picture.size) < 256:
            return False, 0.5  # it refuses these
        bits = decoder.decode(np.asarray(picture)[:, :, ::-1].copy(), "rivaGan")
        right = sum(int(bit) == wanted for bit, wanted in zip(bits, BITS, strict=True))
        return right == 32, right / 32

    return write, read


def find_pictures(folder: Path | None, side: int) -> Iterator[tuple[str, Image.Image]]:
    """RGB, of which the shorter side has that many px at most."""
    if folder is not None:
        paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in {".png", ".jpg", ".jpeg", ".webp"})
    else:
        places = {"skimage": "data", "sklearn": "datasets/images"}
        names = ("astronaut", "chelsea", "coffee", "rocket", "motorcycle_left", "ihc", "china", "flower")
        found = [(find_spec(package), under) for package, under in places.items()]
        folders = [Path(str(spec.origin)).parent / under for spec, under in found if spec is not None]
        paths = [path for place in folders for path in sorted(place.iterdir()) if path.stem in names]
    for path in paths:
        with Image.open(path) as opened:
            picture = opened.convert("RGB")
        yield path.name, scale(picture, min(1, side / min(picture.size)))


def measure_scheme(
    pictures: list[tuple[str, Image.Image]], write: Callable[[Image.Image], Image.Image], read: Read
) -> dict[str, Any]:
    result: dict[str, Any] = {"psnr_db": {}, "write_ms": [], "attacks": {name: [] for name in ATTACKS}}
    reads: list[float] = []
    for name, picture in pictures:
        begun = time.process_time()
        marked = write(picture)
        result["write_ms"].append(round((time.process_time() - begun) * 1e3))
        error = np.mean((np.asarray(marked, float) - np.asarray(picture, float)) ** 2)
        result["psnr_db"][name] = round(10 * np.log10(255**2 / error), 1)
        for attack, change in ATTACKS.items():
            attacked = change(marked)
            begun = time.process_time()
            result["attacks"][attack].append(read(attacked))
            reads.append((time.process_time() - begun) * 1e3)
        print(name, picture.size, result["psnr_db"][name], flush=True)
    result["read_ms"] = {
        "least": round(min(reads)),
        "median": round(float(np.median(reads))),
        "most": round(max(reads)),
    }
    result["attacks"] = {
        attack: {
            "right": sum(is_right for is_right, _ in found),
            "of": len(found),
            "bits": round(float(np.mean([share for _, share in found])), 3),
        }
        for attack, found in result["attacks"].items()
    }
    return result


def count_false(pictures: list[tuple[str, Image.Image]], num_keys: int) -> dict[str, int]:
    """Searches of unmarked pictures by keys that never marked anything."""
    searches = [find_mark(picture, f"key {n}".encode()) for _, picture in pictures for n in range(num_keys)]
    return {"searches": len(searches), "found": sum(found is not None for found in searches)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=Path)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--keys", type=int, default=5, help="wrong keys that each unmarked picture is searched with")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "watermark.json")
    arguments = parser.parse_args()
    pictures = list(find_pictures(arguments.pictures, arguments.side))
    if not pictures:
        raise SystemExit("no pictures: name a folder, or install scikit-image")
    result: dict[str, Any] = {"hardware": hardware(), "pictures": {name: picture.size for name, picture in pictures}}
    result["mezzotint"] = measure_scheme(pictures, lambda picture: embed_mark(picture, KEY, PAYLOAD), read_ours)
    result["false"] = count_false(pictures, arguments.keys)
    if find_spec("imwatermark") is not None:
        result["rivagan"] = measure_scheme(pictures, *open_rivagan())
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
