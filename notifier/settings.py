"""Typed, frozen settings from `NOTIFIER_…` variables, in one group for each part of Notifier.

The command line reads them once and passes each part its group. No other module reads the environment.
"""

import os
import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import quote

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

import notifier
from notifier import header_names
from notifier.console_settings import ConsoleSettings
from notifier.log_settings import LogSettings
from notifier.retention_settings import RetentionSettings
from notifier.setting_values import (
    PLACEHOLDERS,
    Address,
    AllowList,
    CommaSeparated,
    PublicUrl,
    SettingsGroup,
    check_secret_keys,
    to_lower_case,
)
from notifier.smtp_settings import SmtpSettings

MAX_SECONDS = 7 * 86_400
MIN_DATABASE_CONNECTIONS, DEFAULT_DATABASE_CONNECTIONS = 6, 22


class RecipientsMode(StrEnum):
    """Who may be mailed: everyone, an allow-list, or nobody but the redirect address."""

    LIVE = "live"
    ALLOW = "allow"
    REDIRECT = "redirect"


class SenderSettings(SettingsGroup):
    """The background sender."""

    concurrency: int = Field(
        20,
        ge=1,
        le=500,
        description=("Mails in delivery at the same time, per process; may be more than the connections."),
    )
    render_children: int = Field(
        0, ge=0, le=64, description="Processes that render, per sender process. 0: one for two processors, at most 4."
    )
    metrics_port: int | None = Field(None, ge=0, le=65535, description="Port for the sender's /metrics and /readyz.")
    resend_after: float = Field(
        900,
        ge=0,
        le=MAX_SECONDS,
        description="Longest wait, in seconds, before an `unknown` mail is sent once more.",
    )
    lease: float = Field(
        300, ge=2, le=MAX_SECONDS, description="Seconds a claim lasts before the entry may be rescued."
    )
    dead_after: float = Field(
        30,
        ge=1,
        le=MAX_SECONDS,
        description="Seconds without a heartbeat after which other senders take over a sender's entries.",
    )
    schedules: bool = Field(default=True, description="Whether this sender begins the job runs of schedules.")
    grace: float = Field(
        30, ge=0, le=MAX_SECONDS, description="Seconds that mails in flight get to finish after SIGTERM."
    )


class RecipientsSettings(SettingsGroup):
    """Who may be mailed at all, so that no staging system mails a customer."""

    mode: Annotated[RecipientsMode, BeforeValidator(to_lower_case)] = Field(
        RecipientsMode.ALLOW,
        description="`live`, `allow` (the list; anybody if it is empty and the relay is loopback) or `redirect`.",
    )
    allow: AllowList = Field(
        (), description="Addresses, or domains as `@example.org`, that may be mailed in mode `allow`; comma-separated."
    )
    redirect_to: Address | None = Field(None, description="Where mode `redirect` sends everything.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.mode is RecipientsMode.REDIRECT and not self.redirect_to:
            raise ValueError("NOTIFIER_RECIPIENTS__MODE=redirect needs an address in NOTIFIER_RECIPIENTS__REDIRECT_TO")
        return self


MIN_IDEMPOTENCY_DAYS = 7
"""A forwarder repeats a request for up to six days; the seventh allows for clocks that differ."""


def _check_idempotency_days(days: float) -> float:
    if days < MIN_IDEMPOTENCY_DAYS:
        reason = "forwarders repeat a request for up to six days, and what is forgotten sooner would be sent twice"
        raise ValueError(f"must be at least {MIN_IDEMPOTENCY_DAYS}, and is {days:g}: {reason}")
    return days


class ApiSettings(SettingsGroup):
    """Where the API listens, and what callers may do."""

    host: str = Field("127.0.0.1", description="Address on which the API listens.")
    port: int = Field(8000, ge=0, le=65535, description="Port of the API; 0: any free one.")
    idempotency_days: Annotated[float, AfterValidator(_check_idempotency_days)] = Field(
        7, le=366, description="Days for which an Idempotency-Key is kept; at least 7."
    )
    rate_per_minute: int = Field(
        60_000,
        ge=0,
        description="Mails, and other requests, that a key may send in a minute, per API process; 0: no limit.",
    )
    metrics_port: int | None = Field(
        None, ge=1, le=65535, description="Port for the API's /metrics. Default: they are on the API's own port."
    )
    access_log: bool = Field(
        default=False, description="Whether each HTTP request is logged, without addresses and queries."
    )
    allowed_headers: Annotated[CommaSeparated, AfterValidator(header_names.validate_allowed_headers)] = Field(
        header_names.DEFAULT_ALLOWED_HEADERS,
        validate_default=True,
        description="Custom `X-…` headers that callers may set: names, or prefixes as `X-Shop-*`; comma-separated.",
    )
    service_rate_per_minute: int = Field(
        120_000, ge=0, description="Mails that all keys of a service together may submit in a minute; 0: no limit."
    )


class WebhooksSettings(SettingsGroup):
    """Webhooks, which tell services what became of their notifications."""

    concurrency: int = Field(
        40, ge=1, le=500, description="Webhooks in delivery at the same time, per process; no mail waits for them."
    )
    timeout: float = Field(15, ge=1, le=60, description="Seconds for one attempt, from the DNS query to the reply.")
    disable_after_days: float = Field(
        5, gt=0, le=366, description="Days after which an endpoint is disabled if every attempt has failed."
    )
    insecure_hosts: CommaSeparated = Field(
        (),
        description=(
            "Hosts that may be called over plain HTTP, at any port and any address, for development such as"
            " `localhost,127.0.0.1`; comma-separated."
        ),
    )
    ca_file: Path | None = Field(None, description="Certificates to trust instead of the system's (PEM).")


class FeedsSettings(SettingsGroup):
    """Feeds: documents of others that jobs load."""

    insecure_hosts: CommaSeparated = Field(
        (),
        description=(
            "Hosts that feeds may load from over plain HTTP, at any port and any address; every service that manages"
            " feeds can then read them; comma-separated."
        ),
    )
    ca_file: Path | None = Field(None, description="Certificates to trust instead of the system's (PEM).")


def _check_database_connections(connections: int) -> int:
    if connections < MIN_DATABASE_CONNECTIONS:
        reason = "with fewer, requests, mails and checks would wait for each other"
        raise ValueError(f"must be at least {MIN_DATABASE_CONNECTIONS}, and is {connections}: {reason}")
    return connections


_BROKER_URL = re.compile(r"[a-z][a-z0-9+]*://\S+")


def _check_broker_url(value: SecretStr | None) -> SecretStr | None:
    """Raise `ValueError` if the value cannot be a broker's URL. The message does not contain it: it has a password."""
    if value is not None and not _BROKER_URL.fullmatch(value.get_secret_value().strip()):
        raise ValueError("must be a URL of Celery's broker, such as redis://redis.example.com:6379/0")
    return value


class CelerySettings(SettingsGroup):
    """Celery as a host of senders: the broker carries hints, never mails."""

    broker_url: Annotated[SecretStr | None, AfterValidator(_check_broker_url)] = Field(
        None,
        description=(
            "Celery's broker, such as `redis://host:6379/0`, for hints that wake the senders of Celery workers after a"
            " commit. Default: no hints."
        ),
    )
    senders: int = Field(1, ge=1, le=64, description="Sender processes of one Celery worker.")


class Settings(LogSettings):
    """Everything that can be set, with its default. An unknown variable is refused."""

    model_config = SettingsConfigDict(extra="forbid")

    database_url: SecretStr | None = Field(
        None, description="`postgresql://user:password@host/name`. Default: SQLite in the data directory."
    )
    database_read_url: SecretStr | None = Field(
        None,
        description=(
            "A standby of that PostgreSQL, for search and statistics; written like `NOTIFIER_DATABASE_URL`. Default:"
            " the primary."
        ),
    )
    database_connections: Annotated[int, AfterValidator(_check_database_connections)] = Field(
        DEFAULT_DATABASE_CONNECTIONS,
        le=500,
        description="Most connections that each process opens to PostgreSQL; at least 6.",
    )
    data_dir: Path = Field(Path("var"), description="Directory for SQLite, locks, and the journals of senders.")
    from_: str = Field(
        "Notifier <notifier@localhost.localdomain>",
        validation_alias="NOTIFIER_FROM",
        description="Sender used when a notification names none.",
    )
    bounce_address: str | None = Field(None, description="Envelope sender (MAIL FROM). Default: the From address.")
    public_url: PublicUrl | None = Field(
        None, description="URL of this API from outside, for linked images in mails. Default: no linked images."
    )
    metrics_token: SecretStr | None = Field(
        None, description="Token that /metrics requires, as `Authorization: Bearer …`. Default: open to all."
    )
    metrics_host: str = Field(
        "0.0.0.0",  # noqa: S104 - scraped from outside
        description="Address on which the metrics ports of the API and of senders listen.",
    )
    secret_key: Annotated[SecretStr | None, AfterValidator(check_secret_keys)] = Field(
        None,
        description=(
            "Keys that encrypt the secrets of webhooks and feeds in the database: 32 bytes in base64; the first of"
            " several, comma-separated, encrypts. Default: they are kept in clear."
        ),
    )
    templates_dir: Path | None = Field(None, description="Template files. Default: `templates/`, or the shipped ones.")
    api: ApiSettings = ApiSettings()
    smtp: SmtpSettings = SmtpSettings()
    sender: SenderSettings = SenderSettings()
    recipients: RecipientsSettings = RecipientsSettings()
    webhooks: WebhooksSettings = WebhooksSettings()
    retention: RetentionSettings = RetentionSettings()
    feeds: FeedsSettings = FeedsSettings()
    console: ConsoleSettings = ConsoleSettings()
    celery: CelerySettings = CelerySettings()

    @model_validator(mode="after")
    def _check(self) -> Self:
        token = self.metrics_token and self.metrics_token.get_secret_value().strip().lower()
        if token in PLACEHOLDERS:
            raise ValueError("NOTIFIER_METRICS_TOKEN is a placeholder: set the real one")
        if self.database_read_url is not None and self.uses_sqlite:
            raise ValueError(
                "NOTIFIER_DATABASE_READ_URL needs PostgreSQL in NOTIFIER_DATABASE_URL: remove it on SQLite"
            )
        return self

    @property
    def effective_database_url(self) -> str:
        """The URL of the database in use: the one that is set, else SQLite in the data directory."""
        if self.database_url is not None:
            return self.database_url.get_secret_value().strip()
        return f"sqlite:///{quote(os.fsencode(self.data_dir / 'notifier.sqlite3'))}"

    @property
    def uses_sqlite(self) -> bool:
        """True if the embedded database is in use."""
        return self.effective_database_url.lower().startswith("sqlite")


class IsolatedSettings(Settings):
    """Settings from arguments and defaults only, without the environment."""

    reads_environment = False


def find_shipped_directory(name: str) -> Path:
    """Find a directory of shipped files: inside the wheel, or beside the package in a checkout."""
    package = Path(notifier.__file__).parent
    in_wheel = package / "_shipped" / name
    return in_wheel if in_wheel.is_dir() else package.parent / name
