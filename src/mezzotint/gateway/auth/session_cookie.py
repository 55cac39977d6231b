"""The page's session cookie, and the proof that a request with it comes from our own page.

A browser sends cookies along with requests that any site makes. SameSite=Strict holds them back; besides, a request
that changes something must show by Sec-Fetch-Site or Origin that our own page made it. No page of another origin can
forge either header, so no token in forms is needed.
"""

from datetime import datetime, timedelta

from fastapi import Response
from starlette.requests import HTTPConnection

PLAIN = "mezzotint_session"
SECURE = f"__Host-{PLAIN}"
"""Browsers take this name only over HTTPS, from this very host."""
ATTEMPT = "mezzotint_sign_in"
"""Kept while the browser is at an OIDC provider. Lax, since the provider's site sends it back."""


def is_secure(connection: HTTPConnection) -> bool:
    return connection.url.scheme in {"https", "wss"}


def read_secret(connection: HTTPConnection) -> str | None:
    return connection.cookies.get(SECURE if is_secure(connection) else PLAIN)


def set_on(response: Response, connection: HTTPConnection, secret: str, expires_at: datetime) -> None:
    secure = is_secure(connection)
    response.set_cookie(
        SECURE if secure else PLAIN,
        secret,
        expires=expires_at,
        path="/",
        secure=secure,
        httponly=True,
        samesite="strict",
    )


def delete_from(response: Response, connection: HTTPConnection) -> None:
    secure = is_secure(connection)
    response.delete_cookie(SECURE if secure else PLAIN, path="/", secure=secure, httponly=True, samesite="strict")


def is_from_our_page(connection: HTTPConnection) -> bool:
    """Say whether the browser told that our own origin made the request; silence is no proof."""
    site = connection.headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    return is_our_origin(connection)


def is_our_origin(connection: HTTPConnection) -> bool:
    scheme = "https" if is_secure(connection) else "http"
    return connection.headers.get("origin") == f"{scheme}://{connection.headers.get('host', '')}"


def read_attempt(connection: HTTPConnection) -> str | None:
    return connection.cookies.get(_attempt_name(connection))


def set_attempt(response: Response, connection: HTTPConnection, attempt: str, lifetime: timedelta) -> None:
    response.set_cookie(
        _attempt_name(connection),
        attempt,
        max_age=int(lifetime.total_seconds()),
        path="/",
        secure=is_secure(connection),
        httponly=True,
        samesite="lax",
    )


def delete_attempt(response: Response, connection: HTTPConnection) -> None:
    secure = is_secure(connection)
    response.delete_cookie(_attempt_name(connection), path="/", secure=secure, httponly=True, samesite="lax")


def _attempt_name(connection: HTTPConnection) -> str:
    return f"__Host-{ATTEMPT}" if is_secure(connection) else ATTEMPT
