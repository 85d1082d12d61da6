"""Lets the operator of this process call the API that runs inside it (docs/decisions/one-cli.md).

The token is random for each process and never leaves it; a served API has no such authenticator.
"""

import hmac
import secrets
from dataclasses import dataclass

from notifier.auth.authenticated_key import AuthenticatedKey, KeyScope
from notifier.auth.authenticator import Authenticator
from notifier.auth.instance_service import INSTANCE_SERVICE_ID
from notifier.clock import Clock
from notifier.db.engine import Database
from notifier.states import KeyKind

TOKEN_BYTES = 32


@dataclass(frozen=True, kw_only=True)
class OperatorKey(AuthenticatedKey):
    """The operator at the terminal: an admin key with all scopes and no rate limit."""

    actor: str

    @property
    def actor_name(self) -> str:
        """The name under which records are written."""
        return self.actor


class OperatorAuthenticator(Authenticator):
    """Authenticates the operator of this process by its token, and keys as every API does."""

    def __init__(self, database: Database, clock: Clock, actor: str) -> None:
        super().__init__(database, clock)
        self.token = secrets.token_urlsafe(TOKEN_BYTES)
        self._operator = OperatorKey(
            key_id=INSTANCE_SERVICE_ID,
            kind=KeyKind.LIVE,
            scopes=frozenset(scope.value for scope in KeyScope),
            expires_at=None,
            key_rate=0,
            actor=actor,
        )

    async def authenticate_key(self, authorization: str | None) -> AuthenticatedKey:
        """Authenticate the operator or a key. Raises `UnauthenticatedError`."""
        if hmac.compare_digest((authorization or "").encode(), f"Bearer {self.token}".encode()):
            return self._operator
        return await super().authenticate_key(authorization)
