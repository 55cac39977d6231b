"""Requests to every route within the limits of size, from a seed: the same seed, the same requests."""

import base64
import json
import struct
import zlib
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any
from urllib.parse import quote

import jwt

from tests.fuzzing.asgi import Fuzzed

KIB, MIB = 2**10, 2**20
SURROGATE = "\ud800"
BODY_BYTES = 64 * KIB
BODIES: dict[str, dict[str, Any]] = {
    "/v1/sign-in": {"name": "ada", "password": "four words in a row"},
    "/v1/sign-up": {"name": "ada", "password": "four words in a row"},
    "/v1/password": {"old_password": "x", "new_password": "four words in a row"},
    "/v1/jobs": {
        **{"prompt": "a red apple", "model": None, "negative_prompt": "", "seed": 1, "num_steps": 5, "width": 64},
        **{"height": 64, "guidance_scale": 1.5, "task": "generate", "source": None, "mask": None, "strength": 0.5},
        **{"scale": 2, "zoom": 1.5, "left": 0, "sampler": None, "repeat": 1, "new": True},
    },
    "/v1/images/generations": {
        **{"prompt": "", "model": None, "n": 1, "size": "auto", "quality": "auto", "response_format": "url"},
        **{"output_format": "png", "output_compression": 3, "stream": False, "partial_images": 0, "user": "x"},
    },
    "/sdapi/v1/txt2img": {
        **{"prompt": "", "negative_prompt": "", "seed": -1, "steps": 5, "cfg_scale": 7.0, "width": 64, "height": 64},
        **{"batch_size": 1, "n_iter": 1, "sampler_name": "", "scheduler": "karras", "styles": [], "script_name": ""},
        **{"alwayson_scripts": {}, "override_settings": {"sd_model_checkpoint": ""}, "subseed_strength": 0.0},
    },
    "/sdapi/v1/img2img": {
        **{"prompt": "", "init_images": [""], "mask": None, "denoising_strength": 0.5, "inpainting_mask_invert": 0},
        **{"resize_mode": 0, "include_init_images": True, "scheduler": "", "override_settings": {}},
    },
    "/sdapi/v1/options": {"sd_model_checkpoint": "", "other": 1},
    "/v1/keys": {"name": "laptop", "scopes": ["read"], "days": 1},
    "/v1/keys/{key_id}/rotate": {"grace_hours": 1},
    "/v1/webhooks": {"url": "https://hooks.example/x"},
    "/v1/admin/tenants": {"id": "newcomer", "tier": "free"},
    "/v1/admin/tenants/{name}": {"tier": "paid", "is_disabled": False},
    "/v1/admin/lanes/{lane}": {"base": 1.5},
    "/v1/admin/workers": {"is_drained": False},
    "/v1/admin/workers/{worker_id}": {"is_drained": False},
}
QUERIES: dict[str, Sequence[str]] = {
    "/v1/jobs": ("cursor", "limit"),
    "/v1/jobs/{job_id}": ("wait",),
    "/v1/images": ("cursor", "limit", "q"),
    "/v1/usage": ("since", "tenant"),
    "/v1/model": ("name",),
    "/v1/ws": ("since",),
    "/v1/admin/tenants": ("after", "limit"),
    "/v1/admin/jobs": ("cursor", "state", "tenant", "limit"),
    "/sdapi/v1/progress": ("skip_current_image",),
}
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 2**31, 2**32, 2**63 - 1, 2**63, -(2**63) - 1, 10**400, 0.0, -0.5, 1e308, 1e18),
    *("", " ", "\0", "a\0b", SURROGATE, f"a{SURROGATE}b", "\udfff\ud800", "\uffff", "\U0010ffff", "\x7f\x1b[0m"),
    *("x" * 300, "é" * 300, "a" * 30_000, " " * 30_000, "💥" * 5_000, "9" * 5_000, "1e400", "NaN", "-0", "0x10"),
    *("..", "../../etc/passwd", "%00", "%", "' OR 1=1 --", "{{7*7}}", "<script>", "job_" + "0" * 24, "f" * 64),
    *([], {}, [None], [[]], {"": None}, {SURROGATE: SURROGATE}, {"a": [{"b": [1, 2, {"c": SURROGATE}]}]}),
)
RAW_VALUES = (
    *("NaN", "Infinity", "-Infinity", "1e400", "-1e999", "1" * 4000, "9" * 30_000, '"\\ud800"', '"\\u0000"', "01"),
    *("[" * 30_000, "[" * 200 + "]" * 200, '{"a":' * 5_000 + "1" + "}" * 5_000, "[" * 400 + "1" + "]" * 400),
    *('"' + "\\n" * 30_000 + '"', '"' + "\\u0041" * 10_000 + '"', '"\\', "tru", "", "\ufeff1", "1 2"),
    *("[" + "1," * 32_000 + "1]", "[" + "[]," * 20_000 + "[]]", "[" + '"",' * 20_000 + '""]', "[" + "{}," * 20_000),
    *("{" + ",".join(f'"k{at}":{at}' for at in range(5_000)) + "}", "{" + '"a":1,' * 10_000 + '"a":1}'),
)
LIGATURES = "\ufdfa" * 1900
PROMPTS = (
    *(LIGATURES, f"nude {LIGATURES}", "{" + ",".join(map(str, range(40))) + "} " + LIGATURES + " nude woman"),
    *("{" + ",".join(map(str, range(40))) + "} " + "\ufdfa" * 400 + " nude woman", "{a,b}" * 12_000),
    *("{a,b}" * 5 + " " * 60_000, "{" + "," * 60_000 + "}", "{a{b{c{d{e{f{g,}}}}}}}" * 2_500, "{" * 60_000),
    *("\u0301\u0327" * 1_000, "s.e.x " * 333, "1a1a " * 400, "nude lipstick " * 140, "naked tree " * 180),
    *("--no a " * 280, "--a " * 15_000, "x --seed " + "1" * 60_000, "--" + "z" * 60_000, "a " * 30_000),
    *("nude " + "\uac01" * 1900, "nude " + "4a1l " * 390, "nude aaaa " * 200, "{nude,sexy,naked} " + "kid " * 480),
)
TIMES = (
    *("0001-01-01T00:00:00+14:00", "0001-01-01T00:00:00", "9999-12-31T23:59:59-14:00", "0001-01-01", "0000-01"),
    *("1e18", "-1e18", "1e400", "nan", "inf", "99999999999999999999", "2026-01-01T00:00:00+23:59", "-1", "0001-01"),
)
PARTS = (
    "x",
    "%00",
    "..%2f..",
    "%ED%A0%80",
    "%F0%9F%92%A5",
    "a" * 64,
    "a" * 7_000,
    "job_" + "0" * 24,
    "key_" + "0" * 16,
)
HOSTS = (
    b"[",
    b"[::1",
    b"]",
    b"a:b",
    b"a:99999999",
    b"::",
    b"\xff",
    b"a b",
    b"[zz]:1",
    b"",
    b"a/b",
    b"%00",
    b"x" * 5_000,
)


def tokens(secret: bytes) -> list[str]:
    """Tokens that this server signed itself, with claims of every wrong kind, and headers that are no headers."""
    good = {"iss": "mezzotint", "aud": "mezzotint", "sub": "ada", "tier": "free", "iat": 1, "exp": 2**33}
    wrong = ("9999999999", "x", True, [], {}, 1e18, 1e300, -1e18, 10**30, float("inf"), float("nan"), None)
    found = [signed({**good, name: value}, secret) for name in ("exp", "iat", "nbf") for value in wrong]
    found += [signed({**good, "sub": value}, secret) for value in ("\0", SURROGATE, "", [], 7, "x" * 5_000)]
    found += [signed({**good, name: value}, secret) for name in ("iss", "aud", "tier", "role") for value in wrong]
    heads = (b"[" * 5_000, b'{"alg":' + b"[" * 4_000, b'{"alg":"HS256","crit":["x"]}', b"\xff", b"9" * 5_000, b"{}")
    found += [f"{base64.urlsafe_b64encode(head).decode().rstrip('=')}.e30.x" for head in heads]
    return [*found, "x", "..", "mz_\0", "mz_" + "é" * 40, "é.é.é", "a" * 8_000]


def signed(claims: dict[str, Any], secret: bytes) -> str:
    """PyJWT refuses to write what we want to be read: its lower layer does not."""
    text = json.dumps(claims).encode()
    return jwt.api_jws.PyJWS().encode(text, secret, algorithm="HS256")


def png_of(width: int, height: int) -> bytes:
    """A valid picture of many pixels in few bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = zlib.compress(bytes((width + 1) * height), 1)
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


class Corpus:
    """routes: "METHOD /path/{name}". bearer: a valid token. secret: that tokens are signed with."""

    def __init__(self, routes: Sequence[str], bearer: str, secret: bytes, seed: int = 1) -> None:
        self._routes, self._random = sorted(routes), Random(seed)
        self._bearer, self._tokens = bearer, tokens(secret)

    def requests(self, num: int) -> Iterator[Fuzzed]:
        """The routes in turn, each time with other faults."""
        for at in range(num):
            yield self._one(self._routes[at % len(self._routes)], at)

    def large(self) -> Iterator[Fuzzed]:
        """To the routes that take pictures: bodies as large as they may be, each slow to read in its own way."""
        auth = (b"authorization", f"Bearer {self._bearer}".encode())
        as_json = (auth, (b"content-type", b"application/json"))
        as_form = (auth, (b"content-type", b"multipart/form-data; boundary=x"))
        for name, body in _large_json():
            yield Fuzzed(label=f"img2img {name}", target="/sdapi/v1/img2img", headers=as_json, body=body)
        for name, body in _large_forms():
            yield Fuzzed(label=f"edits {name}", target="/v1/images/edits", headers=as_form, body=body)
            yield Fuzzed(label=f"variations {name}", target="/v1/images/variations", headers=as_form, body=body)
        for name, body in (("noise", bytes(12 * MIB - 1)), ("many pixels", png_of(4000, 4000))):
            yield Fuzzed(label=f"uploads {name}", target="/v1/uploads", headers=(auth,), body=body)

    def _one(self, route: str, at: int) -> Fuzzed:
        random = self._random
        method, _, path = route.partition(" ")
        target = path
        while "{" in target:
            start, end = target.index("{"), target.index("}")
            target = target[:start] + random.choice(PARTS) + target[end + 1 :]
        if random.random() < 0.6:
            target += self._query(path)
        headers = self._headers()
        body, kind = b"", b"application/json"
        if method in {"POST", "PUT", "PATCH"}:
            body = self._body(path)
            headers += [(b"content-type", kind if random.random() < 0.95 else random.choice(KINDS))]
        return Fuzzed(label=f"{route} #{at}", method=method, target=target[: 8 * KIB], headers=headers, body=body)

    def _query(self, path: str) -> str:
        names = [*QUERIES.get(path, ()), "x"]
        values = [quote(value, safe="%") for value in TIMES] + [
            "%00",
            "%ED%A0%80",
            "%",
            "1",
            "x" * 300,
            "a,b",
            "%F4%90",
        ]
        pairs = [
            f"{self._random.choice(names)}={self._random.choice(values)}" for _ in range(self._random.choice((1, 3)))
        ]
        return "?" + "&".join(pairs)

    def _headers(self) -> list[tuple[bytes, bytes]]:
        random = self._random
        token = self._bearer if random.random() < 0.8 else random.choice(self._tokens)
        scheme = random.choice(("Bearer", "Bearer", "Bearer", "bearer", "Basic"))
        if scheme == "Basic":
            token = base64.b64encode(f"any:{token}".encode("utf-8", "surrogatepass")).decode()
        headers = [(b"authorization", f"{scheme} {token}".encode("latin-1", "replace"))]
        if random.random() < 0.1:
            headers.append((b"host", random.choice(HOSTS)))
        if random.random() < 0.1:
            name = random.choice(
                (b"idempotency-key", b"last-event-id", b"origin", b"range", b"cookie", b"x-forwarded-for")
            )
            headers.append(
                (name, random.choice((b"", b"x" * 300, b"\xff\xfe", b"bytes=0-1,2-3", b"999999999.99999", b"[::1")))
            )
        return headers

    def _body(self, path: str) -> bytes:
        random = self._random
        base = dict(BODIES.get(path, {"x": 1}))
        name = random.choice(sorted(base))
        match random.choice(("value", "value", "raw", "raw", "prompt", "noise", "two")):
            case "prompt" if "prompt" in base:
                base["prompt"] = random.choice(PROMPTS)
                if "negative_prompt" in base and random.random() < 0.5:
                    base["negative_prompt"] = random.choice(PROMPTS)
            case "raw":
                rest = json.dumps({key: value for key, value in base.items() if key != name})[1:]
                return f'{{"{name}":{random.choice(RAW_VALUES)},{rest}'.encode()[:BODY_BYTES]
            case "noise":
                return random.choice((b"", b"\xff", b"{", b"null", b"[]", b"1", random.randbytes(300), b"\xed\xa0\x80"))
            case "two":
                for one in random.sample(sorted(base), min(2, len(base))):
                    base[one] = random.choice(VALUES)
            case _:
                base[random.choice((name, name, "unknown", SURROGATE))] = random.choice(VALUES)
        return json.dumps(base, ensure_ascii=random.random() < 0.5).encode("utf-8", "surrogatepass")[:BODY_BYTES]


KINDS = (
    b"application/JSON; charset=utf-16",
    b"text/plain",
    b"application/x+json",
    b"multipart/form-data; boundary=x",
    b";",
)


def _large_json() -> Iterator[tuple[str, bytes]]:
    room = 24 * MIB - 200
    head = b'{"prompt":"","include_init_images":true,"init_images":['
    picture = base64.b64encode(png_of(4000, 4000))
    yield "base64", head + b'"' + b"QUFB" * (room // 4) + b'"]}'
    yield "no base64", head + b'"' + b"?" * room + b'"]}'
    yield "picture", head + b'"' + picture + b'"],"mask":"' + picture + b'"}'
    yield "many pictures", head + b'"",' * (room // 3 - 100) + b'""]}'
    yield "many numbers", head + b'""],"styles":[' + b"1," * (room // 2 - 100) + b"1]}"
    yield "many lists", head + b'""],"alwayson_scripts":{"a":[' + b"[]," * (room // 3 - 100) + b"[]]}}"
    yield "deep", head + b"[" * room
    yield "escapes", head + b'"' + b"\\n" * (room // 2) + b'"]}'
    yield "coded letters", head + b'"' + b"\\u0041" * (room // 6) + b'"]}'
    yield "wide letters", head + b'"' + "💥".encode() * (room // 4) + b'"]}'
    yield "white space", head + b" " * room + b'""]}'
    yield "not closed", head + b'"' + b"A" * room
    yield "digits", head + b'""],"seed":' + b"9" * room + b"}"


def _large_forms() -> Iterator[tuple[str, bytes]]:
    room = 24 * MIB - 400
    head = b'--x\r\nContent-Disposition: form-data; name="prompt"\r\n\r\na cat\r\n'
    file = head + b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
    for name, filling in (
        ("zeros", b"\0"),
        ("lines", b"\r\n"),
        ("returns", b"\r"),
        ("nearly", b"\r\n--"),
        ("dashes", b"-"),
    ):
        yield name, file + filling * (room // len(filling)) + b"\r\n--x--\r\n"
    yield "one field", head + b'--x\r\nContent-Disposition: form-data; name="n"\r\n\r\n' + b"9" * room + b"\r\n--x--"
    yield "long header", b"--x\r\nContent-Disposition: " + b"a" * room
    yield "no part", b"\r\n" * (room // 2)
    yield "many parts", b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n\r\n' * (room // 54)
