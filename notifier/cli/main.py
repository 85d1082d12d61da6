"""The `notifier` command: the table of its subcommands; an error becomes one line on stderr and exit code 1.

Exit code 2: wrong use, an unusable setting, file or database, a busy port, an owned data directory. Tracebacks are
shown only at log level DEBUG.
"""

import inspect
import sys
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

import typer

from notifier.cli import (
    capacity,
    db,
    demo,
    doctor,
    feeds,
    forward,
    init,
    jobs,
    keys,
    mail_search,
    merge,
    notifications,
    run,
    schedules,
    send,
    services,
    staff,
    statistics,
    suppressions,
    template_new,
    template_preview,
    templates,
)
from notifier.cli.command import CommandError, make_command
from notifier.cli.help_sections import SectionedGroup, add_note

CommandFunctions = dict[str, Callable[..., Coroutine[Any, Any, None]]]
app = typer.Typer(
    name="notifier",
    help="E-mail notifications that are never silently lost.",
    no_args_is_help=True,
    cls=SectionedGroup,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


async def print_openapi() -> None:
    """Print the API's description (OpenAPI 3.1, JSON)."""
    from notifier.api.app import build_bare_app
    from notifier.api.openapi import description

    print(description.format_document(build_bare_app().openapi()), end="")


COMMANDS: CommandFunctions = {
    "demo": demo.start_demo,
    "init": init.initialise,
    "serve": run.start_server,
    "api": run.start_api,
    "sender": run.start_sender,
    "inbox": run.start_inbox,
    "send": send.send_mail,
    "merge": merge.merge_file,
    "forward": forward.forward_mails,
    "find": mail_search.find_mails,
    "show": notifications.show_notification,
    "unknown": notifications.list_unknown,
    "cancel": notifications.cancel_notification,
    "retry": notifications.retry_notifications,
    "resolve": notifications.resolve_notification,
    "stats": statistics.show_statistics,
    "doctor": doctor.run_doctor,
    "capacity": capacity.show_capacity,
    "openapi": print_openapi,
}
GROUPS: dict[str, tuple[str, CommandFunctions]] = {
    "db": (
        "The database.",
        {"upgrade": db.upgrade_database, "check": db.check_database, "hold-restored": db.hold_restored_work},
    ),
    "services": (
        "Calling applications.",
        {"create": services.create_service, "list": services.list_services, "update": services.update_service},
    ),
    "keys": (
        "API keys.",
        {"create": keys.create_key, "list": keys.list_keys, "rotate": keys.rotate_key, "revoke": keys.revoke_key},
    ),
    "staff": (
        "People who sign in to the console.",
        {
            "create": staff.create_staff,
            "list": staff.list_staff,
            "roles": staff.set_roles,
            "disable": staff.disable_staff,
            "enable": staff.enable_staff,
            "link": staff.create_link,
            "sessions": staff.list_sessions,
            "sign-out": staff.sign_out_staff,
        },
    ),
    "templates": (
        "Templates.",
        {
            "list": templates.list_templates,
            "push": templates.push_templates,
            "pull": templates.pull_templates,
            "diff": templates.diff_templates,
            "new": template_new.create_template,
            "lint": template_preview.lint_templates,
            "render": template_preview.render_template,
            "preview": template_preview.preview_template,
        },
    ),
    "jobs": (
        "Job runs.",
        {
            "list": jobs.list_jobs,
            "show": jobs.show_job,
            "watch": jobs.watch_job,
            "cancel": jobs.cancel_job,
            "pause": jobs.pause_job,
            "resume": jobs.resume_job,
            "retry": jobs.retry_job,
        },
    ),
    "schedules": (
        "When jobs begin.",
        {
            "list": schedules.list_schedules,
            "show": schedules.show_schedule,
            "next": schedules.list_next_times,
            "save": schedules.save_schedule,
            "enable": schedules.enable_schedule,
            "disable": schedules.disable_schedule,
            "run": schedules.run_schedule,
            "delete": schedules.delete_schedule,
            "apply": schedules.apply_schedules,
        },
    ),
    "feeds": (
        "Documents of others that jobs load.",
        {
            "list": feeds.list_feeds,
            "show": feeds.show_feed,
            "save": feeds.save_feed,
            "fetch": feeds.fetch_feed,
            "confirm": feeds.confirm_feed,
            "revisions": feeds.list_revisions,
            "delete": feeds.delete_feed,
        },
    ),
    "suppressions": (
        "Addresses that are not mailed.",
        {
            "list": suppressions.list_suppressions,
            "add": suppressions.add_suppression,
            "lift": suppressions.lift_suppressions,
        },
    ),
}
for name, function in COMMANDS.items():
    app.command(name, help=add_note(name, inspect.getdoc(function) or ""))(make_command(function))
for group_name, (text, commands) in GROUPS.items():
    group = typer.Typer(help=add_note(group_name, text), no_args_is_help=True, cls=SectionedGroup)
    for name, function in commands.items():
        group.command(name)(make_command(function))
    app.add_typer(group, name=group_name)


def _print_version(is_set: bool) -> None:
    if is_set:
        from notifier import __version__

        print(__version__)
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """E-mail notifications that are never silently lost."""


def run_command_line() -> None:
    """Run the command line: the entry point of the `notifier` script."""
    try:
        code = app(standalone_mode=False)
    except CommandError as failure:
        print(f"notifier: {failure}", file=sys.stderr)
        sys.exit(failure.code)
    except typer.Abort:
        print("notifier: interrupted", file=sys.stderr)
        sys.exit(1)
    except typer.TyperException as error:
        sys.exit(_print_usage_error(error))
    except Exception as error:  # noqa: BLE001 - an error that no command expects
        _print_unexpected_error(error)
        sys.exit(1)
    sys.exit(code if isinstance(code, int) else 0)


def _print_usage_error(error: typer.TyperException) -> int:
    """Print one line, or the whole help if no command was given, and return the exit code."""
    context = getattr(error, "ctx", None)
    message = error.format_message()
    if "\n" not in message:
        end = "" if message.endswith(("?", ".")) else "."
        message = f"notifier: {message}{end} Try `{context.command_path if context else 'notifier'} --help`"
    print(message, file=sys.stderr)
    return error.exit_code


def _print_unexpected_error(error: Exception) -> None:
    """Print one line without the error's own message, which may hold secrets, addresses and SQL."""
    from pydantic import ValidationError

    from notifier.db.data_directory import describe_os_error
    from notifier.errors import ConfigurationError
    from notifier.log_settings import LogLevel, LogSettings
    from notifier.telemetry.logging import describe_exception

    try:
        level = LogSettings().log_level
    except (ConfigurationError, ValidationError):
        level = LogLevel.INFO
    if level is LogLevel.DEBUG:
        print("\n".join(describe_exception(error)), file=sys.stderr)
    if isinstance(error, OSError) and error.filename is not None:
        line = f"{error.filename}: {describe_os_error(error)}"
    else:
        kind = type(error).__name__
        line = f"a fault of Notifier's own ({kind}): set NOTIFIER_LOG_LEVEL=DEBUG to see where, and report it"
    print(f"notifier: {line}", file=sys.stderr)
