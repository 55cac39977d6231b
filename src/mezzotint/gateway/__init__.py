"""Speaks HTTP: who may ask, what they may see, and nothing of how a picture is made."""

from mezzotint.gateway.app import create_app
from mezzotint.gateway.auth.oidc import KeySet, OidcConfig, OidcProvider
from mezzotint.gateway.auth.tokens import Issuer
from mezzotint.gateway.service import Accounts, Service

__all__ = ["Accounts", "Issuer", "KeySet", "OidcConfig", "OidcProvider", "Service", "create_app"]
