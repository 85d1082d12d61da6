"""How many templates, layouts and images editors may make: lists of them, and what they cost, have an end.

Two who make the last one at the same moment may both succeed. Files that an operator pushes are not counted.
"""

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.db.tables import Asset, Template, TemplateLayout
from notifier.errors import NotifierError

MAX_TEMPLATES = 1000
"""Templates of an instance, deleted ones counted, beyond which no editor makes a new one."""
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
    """There are as many templates, layouts or images as there may be."""


async def require_room(connection: AsyncConnection, table: type[Template] | type[TemplateLayout] | type[Asset]) -> None:
    """Raise `TooManyTemplatesError` if there is no room for another one."""
    most, what = _MAXIMA[table]
    if int((await connection.execute(select(func.count()).select_from(table))).scalar_one()) >= most:
        raise TooManyTemplatesError(f"there may be {most} {what}, and there are: delete one, or ask the operator")
