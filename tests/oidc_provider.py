"""An OIDC provider that speaks the authorization code flow with PKCE; whoever comes is ada and agrees at once."""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

CLIENT, SECRET = "mezzotint-page", "of the client"
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
KEYS = {"keys": [{**jwt.algorithms.RSAAlgorithm.to_jwk(KEY.public_key(), as_dict=True), "kid": "r1", "use": "sig"}]}


@dataclass
class OidcServer:
    """A provider at which everybody is ada. changes: of the ID tokens' claims; codes: those not yet used."""

    url: str = ""
    changes: dict[str, object] = field(default_factory=dict)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    metadata: dict[str, object] = field(default_factory=dict)

    def describe(self) -> dict[str, object]:
        ends = {"authorization_endpoint": f"{self.url}/authorize", "token_endpoint": f"{self.url}/token"}
        return {"issuer": self.url, **ends, **self.metadata}

    def authorize(self, query: dict[str, str]) -> str:
        """The address to which a browser that agrees is sent back."""
        assert query["response_type"] == "code"
        assert query["code_challenge_method"] == "S256"
        code = f"code-{len(self.codes)}"
        self.codes[code] = query
        return f"{query['redirect_uri']}?{urlencode({'code': code, 'state': query['state']})}"

    def exchange(self, form: dict[str, str], authorization: str) -> dict[str, object] | None:
        asked = self.codes.pop(form["code"], None)
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        is_client = authorization == "Basic " + base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
        if asked is None or not is_client or form["redirect_uri"] != asked["redirect_uri"]:
            return None
        if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != asked["code_challenge"]:
            return None
        claims: dict[str, object] = {
            "iss": self.url,
            "aud": CLIENT,
            "sub": "ada",
            "tier": "pro",
            "nonce": asked["nonce"],
        }
        claims |= {"exp": datetime.now(UTC) + timedelta(hours=1)} | self.changes
        return {"token_type": "Bearer", "id_token": jwt.encode(claims, KEY, "RS256", {"kid": "r1"})}


@contextmanager
def running_provider() -> Iterator[OidcServer]:
    """On a free port of this machine, until the context ends."""
    provider = OidcServer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            if parts.path == "/authorize":
                self.send_response(302)
                self.send_header("Location", provider.authorize(dict(parse_qsl(parts.query))))
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            is_keys = parts.path == "/keys"
            self.answer(200, KEYS if is_keys else provider.describe())

        def do_POST(self) -> None:
            form = dict(parse_qsl(self.rfile.read(int(self.headers["Content-Length"])).decode()))
            given = provider.exchange(form, self.headers.get("Authorization", ""))
            self.answer(200 if given else 400, given or {"error": "invalid_grant"})

        def answer(self, status: int, document: Any) -> None:
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        provider.url = f"http://127.0.0.1:{server.server_port}"
        yield provider
        server.shutdown()
        thread.join()
