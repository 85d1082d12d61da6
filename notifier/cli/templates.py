"""The command group `templates`, with `list`."""

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
    """List the templates with their current versions and drafts."""
    output.run_command(_list_templates(as_json=as_json))


async def _list_templates(*, as_json: bool) -> None:
    from notifier.cli.notifications import format_time
    from notifier.runtime import process_parts
    from notifier.templating import template_store

    async with process_parts.open_process_parts(output.load_settings()) as parts, parts.database.read() as connection:
        states = await template_store.get_states(connection)
    rows = [
        {
            "slug": state.slug,
            "version": state.number or None,
            "hash": state.content_hash if as_json else state.content_hash[:12],
            "published_at": state.published_at and format_time(state.published_at),
            "published_by": state.published_by or None,
            "draft": f"{state.updated_by}, {format_time(state.updated_at)}" if state.draft else None,
            "variables": ", ".join(state.variables),
        }
        for state in states.values()
        if not state.deleted_at and (state.number or state.draft)
    ]
    output.print_rows(rows if as_json else ({k: v or "-" for k, v in row.items()} for row in rows), as_json=as_json)
