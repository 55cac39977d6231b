"""The name of stored bytes: equal bytes have one name and are stored once."""

from hashlib import sha256

from mezzotint.domain.ids import Sha256


def content_hash(data: bytes) -> Sha256:
    """SHA-256 of the bytes."""
    return Sha256(sha256(data).hexdigest())
