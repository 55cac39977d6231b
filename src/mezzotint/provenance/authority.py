"""A development authority of this installation's own: a root, an intermediate and a leaf that signs pictures.

Nobody else trusts it until they add its root to their trust anchors. The keys of the root and of the intermediate are
never written: nobody can issue a second leaf. Source of the certificates' profile: C2PA 2.2, 14.5.
"""

import os
import secrets
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LIFETIME = timedelta(days=3650)
"""Without a time-stamp a signature counts only while its certificate does, so the leaf lasts as long as the root."""
CLOCKS_DIFFER = timedelta(hours=1)
ORGANISATION = "Mezzotint (development)"


@dataclass(frozen=True, slots=True)
class AuthorityFiles:
    """The files of an authority. chain: leaf and intermediate, PEM. key: the leaf's, PKCS 8, for its owner alone."""

    folder: Path

    @property
    def root(self) -> Path:
        return self.folder / "root.pem"

    @property
    def chain(self) -> Path:
        return self.folder / "chain.pem"

    @property
    def key(self) -> Path:
        return self.folder / "key.pem"


def make_authority(folder: Path) -> bool:
    """Make the files unless they are there. Returns whether they were made. Raises: OSError.

    They are written aside and renamed into place: two processes that start together agree on one authority.
    """
    if folder.exists():
        return False
    aside = folder.with_name(f".{folder.name}-{secrets.token_hex(4)}")
    aside.mkdir(mode=0o700)
    try:
        _write_files(AuthorityFiles(aside), datetime.now(UTC))
        aside.rename(folder)
    except OSError:
        if not folder.exists():
            raise
        return False  # the other process was first
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return True


def _write_files(files: AuthorityFiles, now: datetime) -> None:
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(3)]
    names = [
        x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, ORGANISATION),
                x509.NameAttribute(NameOID.COMMON_NAME, f"Mezzotint {part} {secrets.token_hex(4)}"),
            ]
        )
        for part in ("root", "intermediate", "signer")
    ]
    root = _issue(names[0], keys[0], (names[0], keys[0]), now, path_length=1)
    intermediate = _issue(names[1], keys[1], (names[0], keys[0]), now, path_length=0)
    leaf = _issue(names[2], keys[2], (names[1], keys[1]), now, path_length=None)
    _write(files.root, [root.public_bytes(Encoding.PEM)])
    _write(files.chain, [one.public_bytes(Encoding.PEM) for one in (leaf, intermediate)])
    _write(files.key, [keys[2].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())])


def _issue(
    name: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    issuer: tuple[x509.Name, ec.EllipticCurvePrivateKey],
    now: datetime,
    *,
    path_length: int | None,
) -> x509.Certificate:
    """path_length: authorities that may follow below; None: the certificate is a leaf."""
    is_authority = path_length is not None
    usage = x509.KeyUsage(
        digital_signature=not is_authority,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer[0])
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCKS_DIFFER)
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=path_length), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer[1].public_key()), critical=False)
    )
    if not is_authority:
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
    return builder.sign(issuer[1], hashes.SHA256())


def _write(path: Path, parts: Sequence[bytes]) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(b"".join(parts))
        file.flush()
        os.fsync(file.fileno())
