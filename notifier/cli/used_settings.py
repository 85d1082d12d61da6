"""The settings that decide where data and mail go, with the place that each value comes from; no secret is shown."""

from collections.abc import Callable, Iterator
from functools import partial

from notifier.db.database_url import DatabaseAddress, SqliteAddress, parse_database_url, parse_read_url
from notifier.environment import list_origins
from notifier.errors import ConfigurationError
from notifier.settings import RecipientsMode, Settings

DEFAULT = "default"


def list_used_settings(settings: Settings) -> list[dict[str, str]]:
    """List variable, value and origin: `default`, `environment`, `.env` or `file PATH`."""
    origins = list_origins()
    return [
        {"variable": variable, "value": value, "from": _find_origin(variable, origins)}
        for variable, value in _list_values(settings)
    ]


def _find_origin(variable: str, origins: dict[str, str]) -> str:
    """A value without its own variable may come from the JSON of its group, such as `NOTIFIER_SMTP`."""
    return origins.get(variable) or origins.get(variable.partition("__")[0]) or DEFAULT


def _list_values(settings: Settings) -> Iterator[tuple[str, str]]:
    smtp, recipients = settings.smtp, settings.recipients
    yield "NOTIFIER_DATABASE_URL", _describe_database(partial(parse_database_url, settings.effective_database_url))
    if settings.database_read_url is not None:
        url = settings.database_read_url.get_secret_value()
        yield "NOTIFIER_DATABASE_READ_URL", _describe_database(partial(parse_read_url, url))
    yield "NOTIFIER_DATA_DIR", str(settings.data_dir.absolute())
    yield "NOTIFIER_SMTP__HOST", smtp.host
    yield "NOTIFIER_SMTP__PORT", str(smtp.port)
    yield "NOTIFIER_SMTP__SECURITY", smtp.effective_security.value
    yield "NOTIFIER_SMTP__USERNAME", smtp.username or "none"
    if smtp.password is not None:
        yield "NOTIFIER_SMTP__PASSWORD", "set"
    yield "NOTIFIER_FROM", settings.from_
    if settings.bounce_address is not None:
        yield "NOTIFIER_BOUNCE_ADDRESS", settings.bounce_address
    yield "NOTIFIER_RECIPIENTS__MODE", recipients.mode.value
    if recipients.mode is RecipientsMode.ALLOW:
        yield "NOTIFIER_RECIPIENTS__ALLOW", ",".join(recipients.allow) or "empty"
    if recipients.redirect_to is not None:
        yield "NOTIFIER_RECIPIENTS__REDIRECT_TO", recipients.redirect_to


def _describe_database(parse: Callable[[], DatabaseAddress]) -> str:
    """Describe the database of a URL without its password."""
    try:
        address = parse()
    except ConfigurationError:
        return "cannot be read"
    if isinstance(address, SqliteAddress):
        return f"SQLite {address.path.absolute()}"
    user = f" as {address.user}" if address.user else ""
    return f"{address.place}, database {address.database or 'of the user'}{user}"
