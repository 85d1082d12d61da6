"""Change several notifications that a person has ticked: each by the operation for one, in one transaction."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.audit import Actor
from notifier.errors import InvalidRequestError, NotFoundError
from notifier.status.notification_actions import NotPossibleError

MAX_SELECTED = 50


@dataclass(frozen=True, kw_only=True)
class SelectedOutcome:
    """What became of the ticked notifications."""

    changed: int
    refused: dict[UUID, str]  # why the others were not changed


async def change_selected(
    connection: AsyncConnection, ids: Sequence[UUID], change: Callable[..., Awaitable[None]], *, actor: Actor
) -> SelectedOutcome:
    """Call the operation for each id; one that is not possible leaves the others alone. At most `MAX_SELECTED`."""
    refused: dict[UUID, str] = {}
    # In the order of the ids, so that two people who have ticked the same mails wait for each other.
    selected = sorted(set(ids))[:MAX_SELECTED]
    for id_ in selected:
        try:
            async with connection.begin_nested():
                await change(connection, id_, actor=actor, rights=None)
        except (NotPossibleError, NotFoundError, InvalidRequestError) as error:
            refused[id_] = str(error)
    if len(refused) == len(selected):
        actor.record_no_change()
    return SelectedOutcome(changed=len(selected) - len(refused), refused=refused)
