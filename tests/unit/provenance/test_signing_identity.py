"""Certificates and keys that cannot sign are refused at the start, each with its reason; a remote signer is asked."""

import json
import threading
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mezzotint.domain.errors import SigningFailed
from mezzotint.provenance import Identity, IdentityInvalid, PictureSigner, Validity, read_credentials
from mezzotint.provenance.authority import AuthorityFiles, make_authority
from mezzotint.provenance.signing_identity import Algorithm
from tests.unit.provenance.conftest import draw, write
from tests.unit.provenance.test_signing import MANIFEST

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey
USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)


@contextmanager
def running_signer(key: Path, broken: list[bool], odd: bytes = b"") -> Iterator[str]:
    """A remote signer, as a small proxy before a KMS is: it gets digests, and answers in DER. Yields its URL.

    odd: its answer, in place of a signature.
    """
    private = load_pem_private_key(key.read_bytes(), None)
    assert isinstance(private, ec.EllipticCurvePrivateKey)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            is_known = self.headers["authorization"] == "Bearer let me" and body["algorithm"] == "es256"
            if not is_known or broken[0]:
                self.send_error(503 if is_known else 401)
                return
            signature = private.sign(b64decode(body["digest"]), ec.ECDSA(Prehashed(hashes.SHA256())))
            answer = odd or json.dumps({"signature": b64encode(signature).decode()}).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *args: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/sign"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_remote_signer_signs_and_its_fault_is_told(authority: AuthorityFiles, root: str) -> None:
    broken = [False]
    with running_signer(authority.key, broken) as url:
        signer = PictureSigner(Identity.from_remote(authority.chain, url, "let me"))
        assert read_credentials(signer.sign(draw("PNG"), MANIFEST), root).validity is Validity.TRUSTED
        broken[0] = True
        with pytest.raises(SigningFailed, match="HTTPStatusError"):
            signer.sign(draw("PNG"), MANIFEST)
        broken[0] = False
        assert read_credentials(signer.sign(draw("WEBP"), MANIFEST), root).validity is Validity.TRUSTED
        with pytest.raises(IdentityInvalid, match="401"):
            Identity.from_remote(authority.chain, url, "another token")


def test_a_remote_signer_with_another_key_is_refused(authority: AuthorityFiles, tmp_path: Path) -> None:
    make_authority(tmp_path / "other")
    with (
        running_signer(AuthorityFiles(tmp_path / "other").key, [False]) as url,
        pytest.raises(IdentityInvalid, match="does not sign for"),
    ):
        Identity.from_remote(authority.chain, url, "let me")


@pytest.mark.parametrize("odd", [b"{}", b"no", b"[" * 60_000, b" " * 70_000, b'{"signature": "MAA="}'], ids=len)
def test_a_remote_signer_that_answers_something_else_is_refused(authority: AuthorityFiles, odd: bytes) -> None:
    with (
        running_signer(authority.key, [False], odd) as url,
        pytest.raises(IdentityInvalid, match="does not sign for"),
    ):
        Identity.from_remote(authority.chain, url, "let me")


def test_what_cannot_sign_is_refused_with_its_reason(authority: AuthorityFiles, tmp_path: Path) -> None:
    make_authority(tmp_path / "other")
    leaf, intermediate = authority.chain.read_text().split("-----END CERTIFICATE-----\n")[:2]
    turned = write(
        tmp_path, "turned.pem", f"{intermediate}-----END CERTIFICATE-----\n{leaf}-----END CERTIFICATE-----\n"
    )
    text = write(tmp_path, "text.pem", "no certificate")
    for chain, key, reason in [
        (tmp_path / "nowhere.pem", authority.key, "cannot be read"),
        (text, authority.key, "no certificates"),
        (turned, authority.key, "authority's"),
        (authority.root, authority.key, "authority's"),
        (authority.chain, text, "no private key"),
        (authority.chain, AuthorityFiles(tmp_path / "other").key, "not the key"),
    ]:
        with pytest.raises(IdentityInvalid, match=reason):
            Identity.from_files(chain, key)


def test_an_authority_is_made_once_and_closed_to_others(tmp_path: Path) -> None:
    folder = tmp_path / "provenance"
    assert make_authority(folder)
    key = AuthorityFiles(folder).key.read_bytes()
    assert not make_authority(folder)
    assert AuthorityFiles(folder).key.read_bytes() == key
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    assert folder.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in tmp_path.iterdir()] == ["provenance"]


@pytest.mark.parametrize("algorithm", [Algorithm.ES384, Algorithm.PS256])
def test_other_kinds_of_keys_sign_too(tmp_path: Path, algorithm: Algorithm) -> None:
    own = ec.generate_private_key(ec.SECP256R1())
    key: PrivateKey = ec.generate_private_key(ec.SECP384R1())
    if algorithm is Algorithm.PS256:
        key = rsa.generate_private_key(65537, 2048)
    root = issue("root", own.public_key(), "root", own, is_authority=True)
    leaf = issue("signer", key.public_key(), "root", own, is_authority=False)
    chain = write(tmp_path, "chain.pem", leaf.public_bytes(Encoding.PEM))
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    identity = Identity.from_files(chain, write(tmp_path, "key.pem", pem))
    assert identity.algorithm is algorithm
    found = read_credentials(
        PictureSigner(identity).sign(draw("PNG"), MANIFEST), root.public_bytes(Encoding.PEM).decode()
    )
    assert (found.validity, found.problems, found.signer) == (Validity.TRUSTED, (), "signer")


def issue(
    name: str, public: PublicKey, issuer: str, issuing: ec.EllipticCurvePrivateKey, *, is_authority: bool
) -> x509.Certificate:
    """As an authority outside would."""
    organisation = x509.NameAttribute(NameOID.ORGANIZATION_NAME, "X")
    names = {one: x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, one), organisation]) for one in (name, issuer)}
    now = datetime.now(UTC)
    usages = dict.fromkeys(USAGES, False) | {"key_cert_sign" if is_authority else "digital_signature": True}
    builder = (
        x509.CertificateBuilder(names[issuer], names[name], public, x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(**usages), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuing.public_key()), critical=False)
    )
    if not is_authority:
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
    return builder.sign(issuing, hashes.SHA256())
