"""Objects that only a holder of the key can read: AES-256-GCM, the object's key bound to its content."""

import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from mezzotint.domain.errors import StorageUnavailable
from mezzotint.store.objects import Objects

NONCE_BYTES = 12
"""Bytes of a GCM nonce; it is random, so that one key may encrypt 2^32 objects (NIST SP 800-38D, 8.3)."""


class EncryptedObjects:
    """The objects under a prefix, encrypted at rest. Nothing that delivers pictures reads under it.

    prefix: ends with a slash. key: 32 bytes.
    """

    def __init__(self, objects: Objects, prefix: str, key: bytes) -> None:
        self._objects, self._prefix = objects, prefix
        self._cipher = AESGCM(key)

    async def put(self, key: str, data: bytes) -> None:
        """Raises: StorageFull, StorageUnavailable."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        sealed = nonce + self._cipher.encrypt(nonce, data, key.encode())
        await self._objects.put(self._prefix + key, sealed)

    async def get(self, key: str) -> bytes | None:
        """The object's bytes, or None where there is none.

        Raises: StorageUnavailable, also where they are damaged or of another key.
        """
        sealed = await self._objects.get(self._prefix + key)
        if sealed is None:
            return None
        try:
            return self._cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], key.encode())
        except InvalidTag as error:
            raise StorageUnavailable(
                "an encrypted object is damaged, or was encrypted with another token secret"
            ) from error

    async def delete_all(self, folder: str) -> int:
        """Delete what lies in a folder under the prefix. Returns how many objects. folder: ends with a slash."""
        keys = await self._objects.keys(self._prefix + folder)
        await self._objects.delete(keys)
        return len(keys)
