"""`templates`: its commands, and `list`."""

import typer

from notifier.cli import output, template_look, template_sync
from notifier.cli.options import Json


def register(app: typer.Typer) -> None:
    """Add the commands."""
    templates = typer.Typer(help="Templates.", no_args_is_help=True)
    templates.command("list")(list_)
    template_sync.register(templates)
    template_look.register(templates)
    app.add_typer(templates, name="templates")


def list_(as_json: Json = False) -> None:
    """The templates with their current versions and drafts."""
    output.run(_list(as_json=as_json))


async def _list(*, as_json: bool) -> None:
    from notifier import installation
    from notifier.cli.change import text
    from notifier.templating.folder import standing

    async with installation.base(output.settings()) as parts, parts.database.read() as connection:
        found = await standing.look(connection)
    rows = [
        {
            "slug": one.slug,
            "version": one.number or None,
            "hash": one.content_hash if as_json else one.content_hash[:12],
            "published_at": one.published_at and text(one.published_at),
            "published_by": one.published_by or None,
            "draft": f"{one.updated_by}, {text(one.updated_at)}" if one.draft else None,
            "variables": ", ".join(one.variables),
        }
        for one in found.values()
        if not one.deleted_at and (one.number or one.draft)
    ]
    output.show(rows if as_json else ({k: v or "-" for k, v in row.items()} for row in rows), as_json=as_json)
