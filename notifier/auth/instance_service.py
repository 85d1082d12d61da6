"""The instance's own service: it owns the test mails of staff and of admin keys, and has no keys."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.audit import Actor
from notifier.auth.authenticated_key import Caller
from notifier.db.dialect import insert_if_absent
from notifier.db.tables import Service
from notifier.states import KeyKind

INSTANCE_SERVICE_ID = UUID(int=1)
"""Not the `INSTANCE` of suppressions: mail belongs to a row of `service`."""
INSTANCE_SERVICE_NAME = "Notifier itself"


@dataclass(frozen=True, kw_only=True)
class InstanceCaller(Caller):
    """Somebody who sends a mail of the instance's own service."""

    actor: str

    @property
    def actor_name(self) -> str:
        """The name under which records are written."""
        return self.actor


def build_instance_caller(actor: str, from_domains: tuple[str, ...] = ()) -> InstanceCaller:
    """Build the caller for one who acts for the instance; it may also send from these domains."""
    return InstanceCaller(
        key_id=INSTANCE_SERVICE_ID,
        kind=KeyKind.LIVE,
        scopes=frozenset(),
        expires_at=None,
        key_rate=None,
        service_id=INSTANCE_SERVICE_ID,
        service_name=INSTANCE_SERVICE_NAME,
        from_domains=from_domains,
        team_recipients=frozenset(),
        service_rate=None,
        actor=actor,
    )


async def ensure_instance_service(connection: AsyncConnection, actor: Actor) -> None:
    """Create the row of the instance's own service, if it is not there yet."""
    row = {
        "id": INSTANCE_SERVICE_ID,
        "name": INSTANCE_SERVICE_NAME,
        "from_domains": [],
        "team_recipients": [],
        "created_at": actor.at,
    }
    await insert_if_absent(connection, Service, row)
