"""Speaks HTTP: who may ask, what they may see, and nothing of how a picture is made."""

from mezzotint.gateway.app import create_app
from mezzotint.gateway.service import Service
from mezzotint.gateway.tokens import Issuer

__all__ = ["Issuer", "Service", "create_app"]
