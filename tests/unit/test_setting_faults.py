"""Variables that are blank count as not set; what is wrong with the others is told in plain words, line by line."""

import os

import pytest
from pydantic import ValidationError

from notifier.cli import command, setting_faults
from notifier.setting_source import list_variables
from notifier.settings import IsolatedSettings, Settings

BLANKS = ("", " ", "\t\n")
GROUPS = sorted({name.rpartition("__")[0] for name in list_variables(Settings) if "__" in name})


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment without any of our variables."""
    for name in list(os.environ):
        if name.startswith("NOTIFIER_"):
            monkeypatch.delenv(name)
    return monkeypatch


@pytest.mark.parametrize("name", [*list_variables(Settings), *GROUPS])
def test_a_blank_variable_is_not_set(environment: pytest.MonkeyPatch, name: str) -> None:
    """Each alone, and each name of a group, with everything else at its default."""
    for blank in BLANKS:
        environment.setenv(name, blank)
        assert Settings().model_dump() == IsolatedSettings().model_dump()


def test_all_blank_variables_together(environment: pytest.MonkeyPatch) -> None:
    """As Compose passes what its own environment lacks."""
    for name in (*list_variables(Settings), *GROUPS):
        environment.setenv(name, "")
    assert Settings().model_dump() == IsolatedSettings().model_dump()


@pytest.mark.parametrize(
    ("name", "value", "attribute", "expected"),
    [
        ("NOTIFIER_LOG_LEVEL", "info", "log_level", "INFO"),
        ("NOTIFIER_LOG_LEVEL", " Warning ", "log_level", "WARNING"),
        ("NOTIFIER_LOG_FORMAT", "JSON", "log_format", "json"),
        ("NOTIFIER_SMTP__SECURITY", "StartTLS", "smtp.security", "starttls"),
        ("NOTIFIER_RECIPIENTS__MODE", "LIVE", "recipients.mode", "live"),
        ("NOTIFIER_SMTP__HOST", "smtp.example.com\r", "smtp.host", "smtp.example.com"),
        ("notifier_smtp__port", " 587 ", "smtp.port", "587"),
        ("NOTIFIER_SMTP", '{"port": 587}', "smtp.port", "587"),
    ],
)
def test_case_and_blanks_around_a_value_do_not_matter(
    environment: pytest.MonkeyPatch, name: str, value: str, attribute: str, expected: str
) -> None:
    """A word of a closed set in any case, and what a file or an editor has left around a value."""
    environment.setenv(name, value)
    setting: object = Settings()
    for part in attribute.split("."):
        setting = getattr(setting, part)
    assert str(getattr(setting, "value", setting)) == expected


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("NOTIFIER_SMTP__PORT", "smtp", "NOTIFIER_SMTP__PORT: must be a whole number, and is 'smtp'"),
        ("NOTIFIER_SMTP__PORT", "5.5", "NOTIFIER_SMTP__PORT: must be a whole number, and is '5.5'"),
        ("NOTIFIER_SMTP__PORT", "0", "NOTIFIER_SMTP__PORT: must be at least 1, and is '0'"),
        ("NOTIFIER_SMTP__PORT", "70000", "NOTIFIER_SMTP__PORT: must be at most 65535, and is '70000'"),
        ("NOTIFIER_SENDER__LEASE", "nan", "NOTIFIER_SENDER__LEASE: must be a number, and is 'nan'"),
        ("NOTIFIER_SENDER__LEASE", "1e300", "NOTIFIER_SENDER__LEASE: must be at most 604800.0, and is '1e300'"),
        ("NOTIFIER_WEBHOOKS__DISABLE_AFTER_DAYS", "0", "must be more than 0.0, and is '0'"),
        ("NOTIFIER_API__IDEMPOTENCY_DAYS", "3", "must be at least 7, and is 3: forwarders repeat a request"),
        ("NOTIFIER_API__IDEMPOTENCY_DAYS", "6.99", "must be at least 7, and is 6.99"),
        ("NOTIFIER_API__IDEMPOTENCY_DAYS", "0", "must be at least 7, and is 0"),
        ("NOTIFIER_API__IDEMPOTENCY_DAYS", "367", "must be at most 366"),
        ("NOTIFIER_LOG_LEVEL", "loud", "must be 'DEBUG', 'INFO', 'WARNING' or 'ERROR', and is 'LOUD'"),
        ("NOTIFIER_LOG_FORMAT", "xml", "must be 'auto', 'json' or 'pretty', and is 'xml'"),
        ("NOTIFIER_PUBLIC_URL", "notifier.example.com", "must be an address such as https://notifier.example.com"),
        ("NOTIFIER_SMTP__HELO_NAME", "a b", "must be a host name such as mail.example.com"),
        ("NOTIFIER_SMTP__HOSTT", "h", "there is no such setting; did you mean NOTIFIER_SMTP__HOST?"),
        ("NOTIFIER_SMTP", "smtp.example.com", "set NOTIFIER_SMTP__HOST and so on"),
        ("NOTIFIER_SMTP", "5", "set NOTIFIER_SMTP__HOST and so on"),
        ("NOTIFIER_SMTP__PASSWORD", "s3cr3t", "set both, or neither"),
        ("NOTIFIER_RECIPIENTS__MODE", "redirect", "NOTIFIER_RECIPIENTS__REDIRECT_TO"),
    ],
)
def test_a_fault_is_one_plain_line(environment: pytest.MonkeyPatch, name: str, value: str, line: str) -> None:
    """It names the variable and says what to write, without the words of the library and without a secret."""
    environment.setenv(name, value)
    with pytest.raises(ValidationError) as raised:
        Settings()
    (text,) = setting_faults.describe_setting_faults(raised.value)
    assert line in text
    assert text.startswith("NOTIFIER_")
    assert "\n" not in text
    for word in ("Input", "String", "Value error", "pattern", "pydantic", "s3cr3t"):
        assert word not in text


def test_each_fault_has_a_line(environment: pytest.MonkeyPatch) -> None:
    """A command ends with all of them, and exit 2."""
    environment.setenv("NOTIFIER_SMTP__PORT", "x")
    environment.setenv("NOTIFIER_LOG_LEVEL", "x")
    with pytest.raises(command.CommandError) as raised:
        command.load_settings()
    assert raised.value.code == 2
    lines = f"notifier: {raised.value}".splitlines()
    assert [line.split(": ")[:2] for line in lines] == [
        ["notifier", "NOTIFIER_LOG_LEVEL"],
        ["notifier", "NOTIFIER_SMTP__PORT"],
    ]
