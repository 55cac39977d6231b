"""The HTTP gateway: it authenticates callers, takes jobs and delivers images. It imports no torch."""

from mezzotint.gateway.app import create_app
from mezzotint.gateway.auth.oidc import KeySet, OidcConfig, OidcProvider
from mezzotint.gateway.auth.tokens import Issuer
from mezzotint.gateway.service import Accounts, Service

__all__ = ["Accounts", "Issuer", "KeySet", "OidcConfig", "OidcProvider", "Service", "create_app"]
