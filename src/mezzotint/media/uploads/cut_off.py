"""JPEGs whose end is missing: taken while a viewer shows most of them, refused where hardly anything is there.

Sources: ITU T.81 annexes B and G; libjpeg's jdhuff.c, which shows mid-grey in place of blocks that are missing.
"""

from collections.abc import Sequence

from PIL import Image, ImageChops

from mezzotint.media.uploads.undecodable import Undecodable

PROGRESSIVE = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
SOS = 0xDA
LAST_COEFFICIENT = 63
MIN_SHARE = 0.5
"""Share of the rows that must be there."""
BLOCK_PX = 8
MIN_BLOCK_BITS = 2
"""Bits of a block in which nothing changes, with the shortest codes."""
HEADER_BYTES = 16
"""Bytes of a scan of three components, with the end mark."""
MISSING: dict[str, int | tuple[int, ...]] = {"L": 128, "RGB": (128, 128, 128), "CMYK": (127, 127, 127, 127)}


def check_scans(segments: Sequence[bytes]) -> bool:
    """Refuse a progressive JPEG that ends before its brightness has its first fine detail. Raises: Undecodable.

    segments: of the JPEG, each from its marker on. Returns whether it is progressive: each scan then has all rows.
    """
    if not any(segment[1] in PROGRESSIVE for segment in segments):
        return False
    scans = [segment for segment in segments if segment[1] == SOS]
    brightness = scans[0][5]
    if not any(_has_fine_detail(scan, brightness) for scan in scans[:-1]):
        raise Undecodable("The picture is cut off: only a blurred beginning of it is there.")
    return True


def check_rows(jpeg: bytes, shown: Image.Image) -> None:
    """Refuse a JPEG of which most rows are missing. shown: what libjpeg makes of it. Raises: Undecodable."""
    missing = Image.new(shown.mode, shown.size, MISSING[shown.mode])
    there = ImageChops.difference(shown, missing).getbbox(alpha_only=False)
    num_rows = there[3] if there is not None else 0
    if num_rows == 0:
        num_blocks = -(-shown.width // BLOCK_PX) * -(-shown.height // BLOCK_PX)
        scan = jpeg[jpeg.rindex(bytes([0xFF, SOS])) :]
        if 8 * (len(scan) - HEADER_BYTES) >= MIN_BLOCK_BITS * num_blocks:  # data of all: the picture itself is grey
            return
    if num_rows < MIN_SHARE * shown.height:
        raise Undecodable(f"The picture is cut off: of its {shown.height} rows only {num_rows} are there.")


def _has_fine_detail(scan: bytes, component: int) -> bool:
    """Say whether a scan goes up to the component's finest detail."""
    num_components = scan[4]
    last = scan[4 + 2 * num_components + 2]
    return num_components == 1 and scan[5] == component and last == LAST_COEFFICIENT
