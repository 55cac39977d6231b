"""Signs pictures with C2PA. Signing is the last thing that changes a file: any later change makes it invalid."""

import json
import threading
from datetime import datetime
from io import BytesIO
from typing import Any

from mezzotint.domain.errors import SigningFailed
from mezzotint.provenance.manifest import describe_variant
from mezzotint.provenance.read import find_media_type, read_manifest
from mezzotint.provenance.signing_identity import Algorithm, Identity

SETTINGS = {
    "builder": {"thumbnail": {"enabled": False}},  # 120 ms and 100 KB a file
    "verify": {"verify_after_sign": False},
}


class PictureSigner:
    """The signer of an identity. Its methods may be called from several threads; a megapixel takes 2 to 10 ms."""

    def __init__(self, identity: Identity) -> None:
        import c2pa

        algorithms = {
            Algorithm.ES256: c2pa.C2paSigningAlg.ES256,
            Algorithm.ES384: c2pa.C2paSigningAlg.ES384,
            Algorithm.PS256: c2pa.C2paSigningAlg.PS256,
        }
        self._identity = identity
        self._causes = threading.local()
        self._context = c2pa.Context(c2pa.Settings.from_dict(SETTINGS))
        self._signer = c2pa.Signer.from_callback(self._sign, algorithms[identity.algorithm], identity.chain)

    def sign(self, data: bytes, manifest: dict[str, Any]) -> bytes:
        """The file with the manifest, in the place of any that it had. Raises: SigningFailed."""
        import c2pa

        signed = BytesIO()
        self._causes.last = None
        try:
            builder = c2pa.Builder.from_json(json.dumps(manifest), self._context)
            with builder:
                builder.sign(self._signer, find_media_type(data), BytesIO(data), signed)
        except c2pa.C2paError as error:
            cause = self._causes.last or error
            raise SigningFailed(f"The picture could not be signed ({type(cause).__name__}).") from cause
        return signed.getvalue()

    def sign_variant(self, data: bytes, signed: bytes, at: datetime) -> bytes:
        """Sign a file that was made from a signed one. Left as it is when that one bears none of our manifests.

        Raises: SigningFailed.
        """
        found = read_manifest(signed)
        manifest = None if found is None else describe_variant(found, at)
        return data if manifest is None else self.sign(data, manifest)

    def _sign(self, data: bytes) -> bytes:
        """The library swallows what its callback raises: it is kept for `sign`. Empty: it failed."""
        try:
            return self._identity.sign(data)
        except Exception as error:  # noqa: BLE001 - a remote signer may fail in any way
            self._causes.last = error
            return b""
