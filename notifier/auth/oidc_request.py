"""Sign-ins that have gone to the OpenID provider and have not come back yet: one short row for each.

Only the browser that began one can end it, once, within ten minutes. So a link from somebody else signs nobody in.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from sqlalchemy import delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.auth.staff_session import generate_token, hash_token
from notifier.db.tables import OidcRequest, get_columns
from notifier.errors import NotifierError

REQUEST_LIFETIME = timedelta(minutes=10)
MAX_OPEN_REQUESTS = 10_000
"""Anybody can begin a sign-in, so what they leave behind is bounded."""
MAX_NEXT_PATH_LENGTH = 1000
_request = get_columns(OidcRequest)


class OidcProviderError(NotifierError):
    """The OpenID provider does not answer as it should. Try again, or sign in by password."""


class OidcRefusedError(NotifierError):
    """The sign-in was refused."""


@dataclass(frozen=True, kw_only=True)
class NewOidcRequest:
    """The secrets of a sign-in that begins."""

    state: str  # in the URL
    browser_token: str  # in a cookie
    nonce: str  # in the ID token
    code_verifier: str  # sent with the code (RFC 7636)


@dataclass(frozen=True, kw_only=True)
class TakenOidcRequest:
    """A sign-in that has come back."""

    nonce: str
    code_verifier: str
    next_path: str  # where the person wanted to go


@dataclass(frozen=True, kw_only=True)
class OidcCallback:
    """What the provider needs to say who has signed in."""

    code: str
    code_verifier: str
    nonce: str
    redirect_uri: str


class IdentityProvider(Protocol):
    """An OpenID provider, as `oidc_provider` talks to it."""

    async def build_url(self, request: NewOidcRequest, redirect_uri: str) -> str:
        """Build the address at which the person signs in. Raises `OidcProviderError`."""

    async def find_email(self, callback: OidcCallback) -> str:
        """Find the verified e-mail address of who has signed in. Raises `OidcProviderError`, `OidcRefusedError`."""


async def save_oidc_request(connection: AsyncConnection, next_path: str, now: datetime) -> NewOidcRequest | None:
    """Save a sign-in that begins, and delete old ones. None if too many are open."""
    await connection.execute(delete(OidcRequest).where(_request.created_at <= now - REQUEST_LIFETIME))
    count = await connection.scalar(select(func.count()).select_from(OidcRequest))
    if int(count or 0) >= MAX_OPEN_REQUESTS:
        return None
    request = NewOidcRequest(
        state=generate_token(), browser_token=generate_token(), nonce=generate_token(), code_verifier=generate_token()
    )
    values = {
        "state_hash": hash_token(request.state),
        "browser_hash": hash_token(request.browser_token),
        "nonce": request.nonce,
        "code_verifier": request.code_verifier,
        "next_path": next_path if len(next_path) <= MAX_NEXT_PATH_LENGTH else "",
        "created_at": now,
    }
    await connection.execute(insert(OidcRequest).values(values))
    return request


async def take_oidc_request(
    connection: AsyncConnection, state: str, browser_token: str, now: datetime
) -> TakenOidcRequest | None:
    """Delete a sign-in that has come back, and return it. None if it is unknown, too old, or of another browser."""
    statement = (
        delete(OidcRequest)
        .where(
            _request.state_hash == hash_token(state),
            _request.browser_hash == hash_token(browser_token),
            _request.created_at > now - REQUEST_LIFETIME,
        )
        .returning(_request.nonce, _request.code_verifier, _request.next_path)
    )
    row = (await connection.execute(statement)).mappings().one_or_none()
    return TakenOidcRequest(**row) if row is not None else None
