"""Rules of every edit of a template, layout or image: optimistic locking, limits on their number, audit records."""

from datetime import datetime
from typing import Any, ClassVar, Protocol
from uuid import NAMESPACE_URL, UUID, uuid5

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier import audit
from notifier.audit import Actor, AuditAction, AuditRecord
from notifier.db.tables import Asset, Table, Template, TemplateLayout
from notifier.errors import NotifierError

MAX_TEMPLATES = 1000
"""Templates of an instance, deleted ones included."""
MAX_LAYOUTS = 200
"""Layouts of an instance."""
MAX_ASSETS = 1000
"""Names of images of an instance."""
_MAXIMA: dict[type[Table], tuple[int, str]] = {
    Template: (MAX_TEMPLATES, "templates"),
    TemplateLayout: (MAX_LAYOUTS, "layouts"),
    Asset: (MAX_ASSETS, "images"),
}


class Editable(Protocol):
    """A draft, a layout or an image."""

    @property
    def revision(self) -> Any:
        """Identifies the state; every change of the object changes it."""

    @property
    def updated_at(self) -> datetime | None:
        """When it was saved last."""


class EditConflictError(NotifierError):
    """Somebody has changed the object since the editor has loaded it."""

    noun: ClassVar[str]

    def __init__(self, theirs: Editable | None, yours: Any = None) -> None:
        self.theirs: Any = theirs  # None: it does not exist
        self.yours = yours  # None: nothing was to be saved
        what = f"deleted this {self.noun}"
        if theirs is not None and theirs.updated_at is not None:
            what = f"saved this {self.noun} at {theirs.updated_at:%H:%M} UTC"
        super().__init__(f"Edit conflict: somebody {what}. Reload it and apply your change again.")


def require_same_revision(
    error: type[EditConflictError], stored: Editable | None, revision: int | str, yours: Any = None
) -> None:
    """Raise the error unless the object still has the revision that the editor has loaded; 0: it did not exist."""
    if (stored.revision if stored else 0) != revision:
        raise error(stored, yours)


class TooManyTemplatesError(NotifierError):
    """The instance has as many templates, layouts or images as it may have."""


async def require_room(connection: AsyncConnection, table: type[Table]) -> None:
    """Raise `TooManyTemplatesError` if the table has as many rows as it may have.

    Two editors who create the last one at the same moment may both succeed.
    """
    maximum, noun = _MAXIMA[table]
    if int((await connection.execute(select(func.count()).select_from(table))).scalar_one()) >= maximum:
        raise TooManyTemplatesError(f"there are already {maximum} {noun}, the maximum: delete one, or ask the operator")


async def record_template(
    connection: AsyncConnection, action: AuditAction, template: tuple[UUID, str], actor: Actor, **fields: Any
) -> None:
    """Record what the actor did to a template, which is named by its id and its slug; never a word of its text."""
    id_, slug = template
    await _record(connection, action, id_, actor, after={"slug": slug} | fields)


async def record_layout(
    connection: AsyncConnection, action: AuditAction, name: str, actor: Actor, *, revision: int
) -> None:
    """Record what the actor did to a layout, whose id is derived from its name."""
    id_ = uuid5(NAMESPACE_URL, name)
    await _record(connection, action, id_, actor, after={"name": name, "revision": revision})


async def record_asset(
    connection: AsyncConnection, action: AuditAction, id_: UUID, actor: Actor, fields: dict[str, Any]
) -> None:
    """Record what the actor did to an image."""
    state = "before" if action is AuditAction.ASSET_DELETED else "after"
    await _record(connection, action, id_, actor, **{state: fields})


async def _record(connection: AsyncConnection, action: AuditAction, id_: UUID, actor: Actor, **states: Any) -> None:
    record = AuditRecord(action=action, object_id=id_, service_id=None, **states)
    await audit.write_audit_record(connection, record, actor)
