"""Limits on how many templates, layouts and images editors may create.

Two who create the last one at the same moment may both succeed. Pushing files is not limited.
"""

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.db.tables import Asset, Template, TemplateLayout
from notifier.errors import NotifierError

MAX_TEMPLATES = 1000
"""Templates of an instance, deleted ones included."""
MAX_LAYOUTS = 200
"""Layouts of an instance."""
MAX_ASSETS = 1000
"""Names of images of an instance."""
_MAXIMA: dict[type[Template] | type[TemplateLayout] | type[Asset], tuple[int, str]] = {
    Template: (MAX_TEMPLATES, "templates"),
    TemplateLayout: (MAX_LAYOUTS, "layouts"),
    Asset: (MAX_ASSETS, "images"),
}


class TooManyTemplatesError(NotifierError):
    """The instance has as many templates, layouts or images as it may have."""


async def require_room(connection: AsyncConnection, table: type[Template] | type[TemplateLayout] | type[Asset]) -> None:
    """Raise `TooManyTemplatesError` if the table has as many rows as it may have."""
    maximum, noun = _MAXIMA[table]
    if int((await connection.execute(select(func.count()).select_from(table))).scalar_one()) >= maximum:
        raise TooManyTemplatesError(f"there are already {maximum} {noun}, the maximum: delete one, or ask the operator")
