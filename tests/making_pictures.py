"""Encoded pictures for tests and benchmarks: honest ones, bombs, and mutations of them."""

import random
import zlib
from collections.abc import Callable, Iterator
from io import BytesIO
from struct import pack

from PIL import Image
from PIL.PngImagePlugin import PngInfo

EOB_RUN = "0" + "1" * 14
"""Bits of a scan that says of 32,767 blocks that nothing changes."""
BLOCKS_A_RUN = 32_767


def encode(picture: Image.Image, kind: str, **options: object) -> bytes:
    buffer = BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def noise(width: int, height: int, sigma: float = 40) -> Image.Image:
    return Image.effect_noise((width, height), sigma).convert("RGB")


def photograph(width: int = 4096, height: int = 4096, quality: int = 92) -> bytes:
    """A JPEG as large as a camera's: some 7 MB at 4096 x 4096 px."""
    scene = Image.linear_gradient("L").resize((width, height))
    grain = Image.effect_noise((width, height), 12)
    return encode(Image.merge("RGB", (scene, Image.blend(scene, grain, 0.5), grain)), "JPEG", quality=quality)


def many_scans(side: int, num_bytes: int) -> bytes:
    """A grey progressive JPEG of `side` x `side` px that is filled up with scans in which nothing changes.

    Each costs its decoder a pass over all blocks and its sender some tens of bytes.
    """
    num_blocks = (side // 8) ** 2
    bits = EOB_RUN * -(-num_blocks // BLOCKS_A_RUN)
    bits += "1" * (-len(bits) % 8)
    content = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0")
    scan = _segment(0xDA, bytes([1, 1, 0, 1, 63, 0])) + content
    head = b"\xff\xd8" + _segment(0xDB, bytes([0] + [1] * 64))
    head += _segment(0xC2, pack(">BHHB", 8, side, side, 1) + bytes([1, 0x11, 0]))
    head += _segment(0xC4, bytes([0x00, 1, *[0] * 15, 0])) + _segment(0xC4, bytes([0x10, 1, *[0] * 15, 0xE0]))
    head += _segment(0xDA, bytes([1, 1, 0, 0, 0, 0])) + bytes(num_blocks // 8 + 8)
    return head + scan * max(1, (num_bytes - len(head) - 2) // len(scan)) + b"\xff\xd9"


def with_segment(jpeg: bytes, marker: int, content: bytes) -> bytes:
    """The JPEG with one more segment at its beginning."""
    return jpeg[:2] + _segment(marker, content) + jpeg[2:]


def _segment(marker: int, content: bytes) -> bytes:
    return bytes([0xFF, marker]) + pack(">H", len(content) + 2) + content


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return pack(">I", len(content)) + kind + content + pack(">I", zlib.crc32(kind + content))


def with_chunks(png: bytes, *chunks: bytes) -> bytes:
    """The PNG with more chunks behind its header."""
    return png[:33] + b"".join(chunks) + png[33:]


def webp_chunk(kind: bytes, content: bytes) -> bytes:
    return kind + pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def extended_webp(webp: bytes, flags: int, *chunks: bytes) -> bytes:
    """A simple WebP of 16 x 12 px in the extended container, with more chunks behind its pixels."""
    canvas = webp_chunk(b"VP8X", bytes([flags, 0, 0, 0]) + (15).to_bytes(3, "little") + (11).to_bytes(3, "little"))
    body = b"WEBP" + canvas + webp[12:] + b"".join(chunks)
    return b"RIFF" + pack("<I", len(body)) + body


def seeds() -> dict[str, bytes]:
    """Small pictures of every format, mode and kind of metadata that is read or refused, and small bombs."""
    small = noise(48, 40)
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "somewhere"
    texts = PngInfo()
    texts.add_text("a", "b" * 4000, zip=True)
    texts.add_itxt("c", "d" * 4000, zip=True)
    frames = [noise(48, 40) for _ in range(3)]
    found = {f"png {mode}": encode(small.convert(mode), "PNG") for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")}
    found |= {f"jpeg {mode}": encode(small.convert(mode), "JPEG") for mode in ("L", "RGB", "CMYK")}
    found |= {f"other {kind}": encode(small, kind) for kind in ("GIF", "BMP", "TIFF", "ICO", "PPM", "TGA", "AVIF")}
    found |= {
        "png metadata": encode(small, "PNG", exif=exif, pnginfo=texts, icc_profile=b"i" * 3000),
        "apng": encode(frames[0], "PNG", save_all=True, append_images=frames[1:]),
        "png transparent": encode(small.convert("P"), "PNG", transparency=0),
        "jpeg metadata": encode(small, "JPEG", exif=exif, icc_profile=b"i" * 3000, comment=b"c" * 300),
        "jpeg progressive": encode(small, "JPEG", progressive=True),
        "jpeg restarts": encode(small, "JPEG", restart_marker_blocks=1),
        "webp lossy": encode(small, "WEBP"),
        "webp lossless": encode(small, "WEBP", lossless=True),
        "webp alpha": encode(small.convert("RGBA"), "WEBP", exif=exif, icc_profile=b"i" * 300, xmp=b"x" * 300),
        "webp animation": encode(frames[0], "WEBP", save_all=True, append_images=frames[1:]),
        "mpo": encode(frames[0], "MPO", save_all=True, append_images=frames[1:]),
    }
    return found | bombs()


def bombs() -> dict[str, bytes]:
    """Files that are small and ask for much."""
    small = encode(noise(48, 40), "PNG")
    huge = png_chunk(b"IHDR", pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0))
    zeros = zlib.compress(bytes(20 << 20))
    return {
        "jpeg of 1,000 scans": many_scans(512, 64_000),
        "png of 60,000 px": small[:8] + huge + small[33:],
        "png text bomb": with_chunks(small, *[png_chunk(b"zTXt", b"a\0\0" + zeros)] * 20),
        "png profile bomb": with_chunks(small, png_chunk(b"iCCP", b"a\0\0" + zeros)),
        "png of many chunks": with_chunks(small, *[png_chunk(b"tEXt", b"a\0b")] * 20_000),
        "png of empty pixels": with_chunks(small, *[png_chunk(b"IDAT", b"")] * 20_000),
        "png pixel bomb": small[:33] + png_chunk(b"IDAT", zeros) + png_chunk(b"IEND", b""),
        "jpeg of many segments": encode(noise(48, 40), "JPEG")[:2] + b"\xff\xe1\0\2" * 50_000,
        "jpeg of 65,535 px": many_scans(512, 4000).replace(pack(">HH", 512, 512), pack(">HH", 65_535, 65_535)),
    }


def mutations(count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """`count` damaged pictures with the name of what they were, the same ones for the same seed."""
    dice = random.Random(seed)
    originals = list(seeds().items())
    for number in range(count):
        name, data = originals[number % len(originals)]
        mutated = data
        for _ in range(dice.randint(1, 3)):
            mutated = dice.choice(MUTATORS)(mutated, dice)
        yield name, mutated


def _cut(data: bytes, dice: random.Random) -> bytes:
    return data[: dice.randrange(len(data) + 1)]


def _flip(data: bytes, dice: random.Random) -> bytes:
    flipped = bytearray(data)
    for _ in range(dice.randint(1, 8)):
        if flipped:
            flipped[dice.randrange(min(len(flipped), dice.choice((64, 1024, len(flipped)))))] ^= 1 << dice.randrange(8)
    return bytes(flipped)


def _set(data: bytes, dice: random.Random) -> bytes:
    """Lengths and sizes become extreme."""
    place = dice.randrange(len(data) + 1)
    return (
        data[:place] + dice.choice((b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\xff")) + data[place + 4 :]
    )


def _repeat(data: bytes, dice: random.Random) -> bytes:
    begin = dice.randrange(len(data) + 1)
    end = min(len(data), begin + dice.randrange(1, 200))
    return data[:end] + data[begin:end] * dice.randrange(1, 50) + data[end:]


def _polyglot(data: bytes, dice: random.Random) -> bytes:
    """One file inside or behind the head of another."""
    other = dice.choice((b"GIF89a", b"%PDF-1.7\n", b"PK\3\4", b"<svg>", b"BM", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"))
    place = dice.choice((0, len(data), dice.randrange(len(data) + 1)))
    return data[:place] + other + data[place:]


MUTATORS: tuple[Callable[[bytes, random.Random], bytes], ...] = (_cut, _flip, _flip, _set, _repeat, _polyglot)
