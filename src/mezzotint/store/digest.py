"""Secrets that were drawn at random are kept as plain hashes, which is enough: nobody can guess 256 bits."""

import hashlib


def digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
