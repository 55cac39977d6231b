"""The identity that signs: a chain of certificates, and something that signs with the key of the first.

The key is a file, or lies behind a remote signer (a KMS or an HSM) that never gives it away.
"""

import json
import time
from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Self

import httpx
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import load_pem_private_key

REMOTE_TIMEOUT_S = 10.0
MAX_ANSWER_BYTES = 64 * 1024
TRIAL = b"Mezzotint looks whether key and certificate belong together"
Sign = Callable[[bytes], bytes]


class IdentityInvalid(Exception):
    """The certificates or the key cannot be used. Its message says why."""


class Algorithm(StrEnum):
    """Signature algorithms of C2PA that are used here, by their COSE names."""

    ES256 = "es256"
    ES384 = "es384"
    PS256 = "ps256"

    @property
    def digest(self) -> hashes.HashAlgorithm:
        return hashes.SHA384() if self is Algorithm.ES384 else hashes.SHA256()

    @property
    def coordinate_bytes(self) -> int:
        """Bytes of each of the two numbers of an ECDSA signature, as COSE writes them (RFC 9053, 2.1)."""
        return 48 if self is Algorithm.ES384 else 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """chain: PEM, leaf first, without the root. sign: the COSE signature of bytes; may raise anything."""

    chain: str
    algorithm: Algorithm
    sign: Sign

    @classmethod
    def from_files(cls, chain: Path, key: Path) -> Self:
        """Raises: IdentityInvalid."""
        pem, leaf = _read_chain(chain)
        algorithm = _find_algorithm(leaf)
        try:
            private = load_pem_private_key(_read(key), password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise IdentityInvalid(f"{key} is no private key in PEM without a password") from error
        if not isinstance(private, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
            raise IdentityInvalid(f"{key} is no EC or RSA key")
        identity = cls(chain=pem, algorithm=algorithm, sign=lambda data: _sign(private, algorithm, data))
        if private.public_key() != leaf.public_key():
            raise IdentityInvalid(f"{key} is not the key of the first certificate in {chain}")
        return identity

    @classmethod
    def from_remote(cls, chain: Path, url: str, token: str | None = None) -> Self:
        """Ask a remote signer once, and check what it signs. Raises: IdentityInvalid."""
        pem, leaf = _read_chain(chain)
        algorithm = _find_algorithm(leaf)
        remote = RemoteSigner(url=url, algorithm=algorithm, token=token)
        try:
            signature = remote.sign(TRIAL)
            _check_signature(leaf, algorithm, TRIAL, signature)
        except (httpx.HTTPError, ValueError, InvalidSignature) as error:
            raise IdentityInvalid(f"{url} does not sign for {chain}: {error or type(error).__name__}") from error
        return cls(chain=pem, algorithm=algorithm, sign=remote.sign)


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteSigner:
    """An HTTP signer. It is sent the digest alone:

    POST {"algorithm": "es256", "digest": base64} -> {"signature": base64}, where an ECDSA signature may be in DER, as
    a KMS gives it, or the two numbers one after the other.
    """

    url: str
    algorithm: Algorithm
    token: str | None = None

    def sign(self, data: bytes) -> bytes:
        """Raises: httpx.HTTPError, ValueError."""
        body = {"algorithm": self.algorithm.value, "digest": b64encode(_digest(self.algorithm, data)).decode()}
        headers = {} if self.token is None else {"Authorization": f"Bearer {self.token}"}
        until, content = time.monotonic() + REMOTE_TIMEOUT_S, bytearray()
        with httpx.stream("POST", self.url, json=body, headers=headers, timeout=REMOTE_TIMEOUT_S) as answer:
            answer.raise_for_status()
            for part in answer.iter_bytes():
                content += part
                if len(content) > MAX_ANSWER_BYTES or time.monotonic() > until:
                    raise ValueError("the answer is too long, or comes too slowly")
        try:
            found = json.loads(content)
        except RecursionError as error:
            raise ValueError("the answer is nested too deeply") from error
        text = found.get("signature") if isinstance(found, dict) else None
        if not isinstance(text, str):
            raise ValueError('the answer has no "signature"')
        signature = b64decode(text, validate=True)
        size = self.algorithm.coordinate_bytes
        if self.algorithm is Algorithm.PS256 or len(signature) == 2 * size:
            return signature
        return _join(*decode_dss_signature(signature), size)


def _sign(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, algorithm: Algorithm, data: bytes) -> bytes:
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(data, _pss(), algorithm.digest)
    return _join(*decode_dss_signature(key.sign(data, ec.ECDSA(algorithm.digest))), algorithm.coordinate_bytes)


def _check_signature(leaf: x509.Certificate, algorithm: Algorithm, data: bytes, signature: bytes) -> None:
    """Raises: InvalidSignature."""
    key, digest = leaf.public_key(), Prehashed(algorithm.digest)
    if isinstance(key, rsa.RSAPublicKey):
        key.verify(signature, _digest(algorithm, data), _pss(), digest)
    elif isinstance(key, ec.EllipticCurvePublicKey):
        size = algorithm.coordinate_bytes
        numbers = (int.from_bytes(part, "big") for part in (signature[:size], signature[size:]))
        key.verify(encode_dss_signature(*numbers), _digest(algorithm, data), ec.ECDSA(digest))


def _digest(algorithm: Algorithm, data: bytes) -> bytes:
    digest = hashes.Hash(algorithm.digest)
    digest.update(data)
    return digest.finalize()


def _pss() -> padding.PSS:
    return padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=32)


def _join(first: int, second: int, size: int) -> bytes:
    return first.to_bytes(size, "big") + second.to_bytes(size, "big")


def _find_algorithm(leaf: x509.Certificate) -> Algorithm:
    """Raises: IdentityInvalid."""
    match leaf.public_key():
        case ec.EllipticCurvePublicKey(curve=ec.SECP256R1()):
            return Algorithm.ES256
        case ec.EllipticCurvePublicKey(curve=ec.SECP384R1()):
            return Algorithm.ES384
        case rsa.RSAPublicKey():
            return Algorithm.PS256
    raise IdentityInvalid("the first certificate's key is not on P-256 or P-384 and not RSA")


def _read_chain(path: Path) -> tuple[str, x509.Certificate]:
    """The chain in PEM and its leaf, which must be one that may sign now. Raises: IdentityInvalid."""
    data = _read(path)
    try:
        leaf = x509.load_pem_x509_certificates(data)[0]
        text = data.decode("ascii")
    except ValueError as error:
        raise IdentityInvalid(f"{path} holds no certificates in PEM") from error
    now = datetime.now(UTC)
    if not leaf.not_valid_before_utc <= now <= leaf.not_valid_after_utc:
        raise IdentityInvalid(
            f"the first certificate in {path} counts from {leaf.not_valid_before_utc:%Y-%m-%d} to "
            f"{leaf.not_valid_after_utc:%Y-%m-%d} only"
        )
    try:
        is_authority = leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        is_authority = False
    if is_authority or leaf.issuer == leaf.subject:
        raise IdentityInvalid(f"the first certificate in {path} is an authority's or its own: the signer's comes first")
    return text, leaf


def _read(path: Path) -> bytes:
    """Raises: IdentityInvalid."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise IdentityInvalid(f"{path} cannot be read: {error.strerror}") from error
