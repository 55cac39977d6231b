"""How secrets are kept that were drawn at random: a plain hash is enough, since nobody can guess 256 bits."""

import hashlib


def digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
