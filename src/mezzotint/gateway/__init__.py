"""Speaks HTTP: who may ask, what they may see, and nothing of how a picture is made."""

from mezzotint.gateway.app import create_app
from mezzotint.gateway.oidc import KeySet, Provider, Trust
from mezzotint.gateway.service import Accounts, Service
from mezzotint.gateway.tokens import Issuer

__all__ = ["Accounts", "Issuer", "KeySet", "Provider", "Service", "Trust", "create_app"]
