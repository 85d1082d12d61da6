"""`templates`: its commands, and `list`."""

import typer

from notifier.cli import output, template_preview, template_sync
from notifier.cli.options import Json


def register_template_commands(app: typer.Typer) -> None:
    """Add the commands."""
    templates = typer.Typer(help="Templates.", no_args_is_help=True)
    templates.command("list")(list_templates)
    template_sync.register_sync_commands(templates)
    template_preview.register_preview_commands(templates)
    app.add_typer(templates, name="templates")


def list_templates(as_json: Json = False) -> None:
    """The templates with their current versions and drafts."""
    output.run_command(_list_templates(as_json=as_json))


async def _list_templates(*, as_json: bool) -> None:
    from notifier.cli.notifications import format_time
    from notifier.runtime import process_parts
    from notifier.templating.sync import database_state

    async with process_parts.open_process_parts(output.load_settings()) as parts, parts.database.read() as connection:
        found = await database_state.get_states(connection)
    rows = [
        {
            "slug": one.slug,
            "version": one.number or None,
            "hash": one.content_hash if as_json else one.content_hash[:12],
            "published_at": one.published_at and format_time(one.published_at),
            "published_by": one.published_by or None,
            "draft": f"{one.updated_by}, {format_time(one.updated_at)}" if one.draft else None,
            "variables": ", ".join(one.variables),
        }
        for one in found.values()
        if not one.deleted_at and (one.number or one.draft)
    ]
    output.print_rows(rows if as_json else ({k: v or "-" for k, v in row.items()} for row in rows), as_json=as_json)
