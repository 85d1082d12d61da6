"""Settings: typed, frozen, and refusing what would be dangerous."""

import os

import pytest
from pydantic import SecretStr, ValidationError

from notifier import header_names
from notifier.settings import RecipientsMode, RecipientsSettings, Settings
from notifier.smtp_settings import SmtpSecurity, SmtpSettings


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment without any of our variables."""
    for name in list(os.environ):
        if name.startswith("NOTIFIER_"):
            monkeypatch.delenv(name)
    return monkeypatch


def test_defaults_send_nothing_anywhere(environment: pytest.MonkeyPatch) -> None:
    """Out of the box: SQLite, a loopback relay, and an allow-list that is empty."""
    settings = Settings()
    assert settings.uses_sqlite
    assert settings.smtp.is_loopback
    assert (settings.recipients.mode, settings.recipients.allow) == (RecipientsMode.ALLOW, ())


def test_nested_variables(environment: pytest.MonkeyPatch) -> None:
    """Groups are reached with two underscores, lists with commas."""
    environment.setenv("NOTIFIER_SMTP__HOST", "smtp.example.com")
    environment.setenv("NOTIFIER_SMTP__PORT", "587")
    environment.setenv("NOTIFIER_RECIPIENTS__ALLOW", "ada@example.com, @staff.example")
    environment.setenv("NOTIFIER_FROM", "Shop <orders@shop.example>")
    settings = Settings()
    assert (settings.smtp.host, settings.smtp.port) == ("smtp.example.com", 587)
    assert settings.recipients.allow == ("ada@example.com", "@staff.example")
    assert settings.from_ == "Shop <orders@shop.example>"


@pytest.mark.parametrize(
    ("host", "given", "security"),
    [
        ("127.0.0.1", None, SmtpSecurity.NONE),
        ("smtp.example.com", None, SmtpSecurity.STARTTLS),
        ("smtp.example.com", SmtpSecurity.TLS, SmtpSecurity.TLS),
        ("localhost", SmtpSecurity.STARTTLS, SmtpSecurity.STARTTLS),
    ],
)
def test_only_loopback_goes_unprotected_by_default(
    host: str, given: SmtpSecurity | None, security: SmtpSecurity
) -> None:
    """Protection is required unless the relay is on this machine or the setting says otherwise."""
    assert SmtpSettings(host=host, security=given).effective_security is security


@pytest.mark.parametrize(
    "values",
    [
        {"username": "u"},
        {"password": "correct horse"},
        {"host": "smtp.example.com", "username": "u", "password": "changeme"},
        {"username": "u", "password": "correct horse"},  # to a loopback relay, in clear
        {"port": 0},
        {"helo_name": "a b"},
        {"unknown": 1},
    ],
)
def test_dangerous_smtp_settings_are_refused(values: dict[str, object]) -> None:
    """Half a login, a placeholder, a password in clear, a bad port or name, an unknown key."""
    with pytest.raises(ValidationError):
        SmtpSettings.model_validate(values)


def test_redirect_needs_a_target() -> None:
    """Redirecting to nowhere would lose mail."""
    with pytest.raises(ValidationError, match="REDIRECT_TO"):
        RecipientsSettings(mode=RecipientsMode.REDIRECT)


def test_a_placeholder_is_no_token_of_the_metrics() -> None:
    """Who copies an example opens the metrics to everybody else who has read it."""
    with pytest.raises(ValidationError, match="NOTIFIER_METRICS_TOKEN"):
        Settings(metrics_token=SecretStr(" ChangeMe "))


def test_secrets_do_not_print() -> None:
    """No password in a representation, so none in a log or an error."""
    settings = SmtpSettings(host="smtp.example.com", username="u", password=SecretStr("correct horse"))
    assert "correct" not in repr(settings)


def test_settings_are_frozen(environment: pytest.MonkeyPatch) -> None:
    """What was read at the start holds until the end."""
    with pytest.raises(ValidationError):
        setattr(Settings(), "log_level", "DEBUG")  # noqa: B010 - mypy knows that it cannot be assigned


@pytest.mark.parametrize(
    "entry",
    [
        *("X-SMTPAPI", "x-MSYS-API", "X-MC-*", "X-PM-Bcc", "X-SES-*", "X-Mailgun-*", "X-Envelope-To", "X-Original-*"),
        *("X-To", "X-Notifier-Mine", "X-Notifier-*", "X-M-*, X-SG-EID", "X-*", "*", "X", "X-"),
        *("Resent-To", "Bcc", "Subject"),
        *("X-Shop*", "X-Shop-**", "X-A b", "X-Ä", "X-A:", "X-Shop-*-Id"),
    ],
)
def test_no_operator_allows_what_commands_a_relay(environment: pytest.MonkeyPatch, entry: str) -> None:
    """Nor what is no custom header, nor a beginning that would cover either."""
    environment.setenv("NOTIFIER_API__ALLOWED_HEADERS", f"X-Shop-Order, {entry}")
    with pytest.raises(ValidationError, match=r"neither a name such as|can never be allowed"):
        Settings()


def test_an_operator_allows_names_and_beginnings(environment: pytest.MonkeyPatch) -> None:
    """Instead of the default, in any case; the default itself is such a list."""
    environment.setenv("NOTIFIER_API__ALLOWED_HEADERS", "X-Shop-*, X-Trace-ID")
    allowed = Settings().api.allowed_headers
    for name in ("X-SHOP-a", "x-trace-id", "X-Shop-", "X-Order"):
        assert header_names.is_header_allowed(name, allowed) == (name in {"X-SHOP-a", "x-trace-id"})
    environment.delenv("NOTIFIER_API__ALLOWED_HEADERS")
    assert Settings().api.allowed_headers == header_names.validate_allowed_headers(header_names.DEFAULT_ALLOWED_HEADERS)
