"""The checks of an installation. The result of each has a sentence that says what to do."""

import platform
import re
import sqlite3
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from sqlalchemy import text

from notifier.clock import Clock
from notifier.db import data_directory, migrations
from notifier.db.engine import Database
from notifier.db.table_base import UtcDateTime
from notifier.db.write_probe import find_disk_fault, find_write_fault
from notifier.email_address import get_default_sender
from notifier.errors import ConfigurationError, DatabaseUnavailableError
from notifier.feeds import feed_store
from notifier.settings import RecipientsMode, Settings
from notifier.smtp.transport import SmtpTransport
from notifier.smtp_settings import SmtpSecurity
from notifier.telemetry.redaction import redact_text
from notifier.throttle.relay_state import list_limited_senders, list_relay_outages
from notifier.trusted_certificates import FEEDS_VARIABLE, SMTP_VARIABLE, WEBHOOKS_VARIABLE, build_tls_context
from notifier.webhooks import endpoints
from notifier.webhooks.endpoint_secret import ENCRYPTED_PREFIX, SecretBox

UNREACHABLE = "out of reach: check NOTIFIER_DATABASE_URL and the server"
_LIBRARY_WORDS = re.compile(r"Error connecting to \S+ on port \d+: |\[Errno -?\d+\] | \(_ssl\.c:\d+\)")
MAX_SHOWN_SENDERS = 5
"""Senders that one result names."""
MAX_CLOCK_SKEW = 30.0  # seconds between this host and the database
_LIVE_ADVICE = "to mail everyone, set NOTIFIER_RECIPIENTS__MODE=live"
_LOCAL_DOMAIN = re.compile(r"[@.](localhost|localdomain|local|invalid)$", re.IGNORECASE)
_FAULTY_LIBRARIES = (
    # (name, first good version, the fault of older ones)
    ("aiosmtplib", (5, 1, 2), "STARTTLS response injection and CRLF injection in addresses"),
    ("Jinja2", (3, 1, 6), "sandbox escape by |attr (CVE-2025-27516)"),
)
_GOOD_SQLITE = (3, 51, 3)
_GOOD_PYTHON = {(3, 11): (3, 11, 15), (3, 12): (3, 12, 13), (3, 13): (3, 13, 12), (3, 14): (3, 14, 3)}


@dataclass(frozen=True, kw_only=True)
class CheckResult:
    """The result of one check. `warning`: it works, but an operator should know."""

    name: str
    ok: bool
    detail: str
    warning: bool = False


async def check_database(db: Database, *, with_reason: bool = False, thorough: bool = False) -> list[CheckResult]:
    """Check that the database answers, takes writes, and has the schema that this release needs.

    `with_reason`: a failure names the host and the role. For operators only, because readiness is public.
    `thorough`: write half a megabyte and roll it back, even if there is no sign of a fault.
    """
    try:
        current = None if db.is_missing else await migrations.get_current_revision(db)
    except DatabaseUnavailableError as error:
        disk = find_disk_fault(db.folder) if db.folder is not None else None  # SQLite cannot be read on a full disk
        full = f"no file can be written beside it ({disk}): free some space" if disk else None
        reason = error.reason if with_reason else None
        return [CheckResult(name="database", ok=False, detail=full or reason or UNREACHABLE)]
    if db.is_missing:
        fault, answer = None, f"{db.address.place} does not exist yet"
    else:
        fault = await find_write_fault(db, thorough=thorough)
        answer = f"{'SQLite' if db.is_sqlite else 'PostgreSQL'} answers"
    answer += f", but nothing can be written: {fault}" if fault else ""
    outdated = migrations.find_schema_fault(current)
    return [
        CheckResult(name="database", ok=fault is None, detail=answer),
        CheckResult(name="migrations", ok=outdated is None, detail=outdated or f"at {current}"),
    ]


def check_data_directory(settings: Settings) -> list[CheckResult]:
    """Check that the data directory can be written. No result if it does not exist and can be created."""
    fault = data_directory.find_directory_fault(settings.data_dir)
    if fault is None and settings.data_dir.is_dir():
        disk = find_disk_fault(settings.data_dir, thorough=True)
        fault = f"cannot be written ({disk}): free some space, or check its rights" if disk else None
    elif fault is None:
        return []
    return [CheckResult(name="data_dir", ok=fault is None, detail=fault or "can be written")]


def check_journal(folder: Path, *, has_room: bool) -> CheckResult:
    """Check that the journal can be written. `has_room`: False after a write that failed."""
    fault = find_disk_fault(folder) if has_room else "see the log"
    detail = "can be written" if fault is None else f"cannot be written, so no mail is sent: {fault}"
    return CheckResult(name="journal", ok=fault is None, detail=detail)


async def check_clock(db: Database, host: Clock) -> CheckResult:
    """Check that this host and the database agree on the time."""
    statement = text("SELECT CURRENT_TIMESTAMP AS now")
    statement_typed: Any = statement if not db.is_sqlite else statement.columns(now=UtcDateTime)
    try:
        async with db.read() as connection:
            database_time = (await connection.execute(statement_typed)).scalar_one()
    except DatabaseUnavailableError:
        return CheckResult(name="clock", ok=False, detail=UNREACHABLE)
    skew = abs((host.now() - _aware(database_time)).total_seconds())
    detail = f"within {skew:.0f} s of the database" if skew < MAX_CLOCK_SKEW else f"{skew:.0f} s apart: check NTP"
    return CheckResult(name="clock", ok=skew < MAX_CLOCK_SKEW, detail=detail)


async def check_relay(transport: SmtpTransport, settings: Settings) -> CheckResult:
    """Check that the relay can be reached, protected and logged in to."""
    smtp = settings.smtp
    where = f"{smtp.host}:{smtp.port}"
    fault = await transport.probe()
    if fault is not None:
        words = redact_text(_LIBRARY_WORDS.sub("", fault.detail))
        return CheckResult(name="relay", ok=False, detail=": ".join(filter(None, (where, words, fault.advice))))
    how = {SmtpSecurity.NONE: "not encrypted", SmtpSecurity.STARTTLS: "STARTTLS", SmtpSecurity.TLS: "TLS"}
    login = f"logged in as {smtp.username}" if smtp.username else "no login"
    return CheckResult(name="relay", ok=True, detail=f"{where} answers, {how[smtp.effective_security]}, {login}")


async def check_circuits(db: Database) -> list[CheckResult]:
    """List the open circuits of running senders."""
    try:
        async with db.read() as connection:
            rows = await list_relay_outages(connection)
    except DatabaseUnavailableError:
        return [CheckResult(name="circuit", ok=False, detail=UNREACHABLE)]
    details = [
        f"{row.relay} takes no mail since {row.since.isoformat(timespec='seconds')}: {row.reason}; the senders try"
        " again by themselves; if the finding about the relay is bad, do what it says"
        for row in rows
    ]
    return [CheckResult(name="circuit", ok=True, warning=True, detail=detail) for detail in details]


def check_certificates(settings: Settings) -> list[CheckResult]:
    """Check that the certificate files in the settings can be used."""
    findings = []
    for name, ca_file, variable in (
        ("smtp_ca", settings.smtp.ca_file, SMTP_VARIABLE),
        ("webhooks_ca", settings.webhooks.ca_file, WEBHOOKS_VARIABLE),
        ("feeds_ca", settings.feeds.ca_file, FEEDS_VARIABLE),
    ):
        if ca_file is None:
            continue
        try:
            build_tls_context(ca_file, variable)
        except ConfigurationError as error:
            findings.append(CheckResult(name=name, ok=False, detail=str(error)))
        else:
            findings.append(CheckResult(name=name, ok=True, detail=f"{ca_file} can be used"))
    return findings


async def check_connections(db: Database, settings: Settings) -> CheckResult:
    """Report how many connections are used: as many as the setting allows, unless a relay takes fewer."""
    try:
        async with db.read() as connection:
            limited = await list_limited_senders(connection)
    except DatabaseUnavailableError:
        return CheckResult(name="connections", ok=False, detail=UNREACHABLE)
    if not limited:
        detail = f"up to {settings.smtp.max_connections} for each sender process (NOTIFIER_SMTP__MAX_CONNECTIONS)"
        return CheckResult(name="connections", ok=True, detail=detail)
    each = "; ".join(
        f"{sender.in_force} of {sender.maximum} to {sender.relay}"
        f" since {sender.since.isoformat(timespec='seconds')} ({sender.reason})"
        for sender in limited[:MAX_SHOWN_SENDERS]
    )
    more = f"; and {len(limited) - MAX_SHOWN_SENDERS} more" if len(limited) > MAX_SHOWN_SENDERS else ""
    detail = f"{each}{more}: the relay refuses more, so ask its operator, or lower NOTIFIER_SMTP__MAX_CONNECTIONS"
    return CheckResult(name="connections", ok=True, warning=True, detail=detail)


def check_recipients(settings: Settings) -> CheckResult:
    """Report who may be mailed."""
    mode, allow = settings.recipients.mode, settings.recipients.allow
    can_mail, warning = True, False
    if mode is RecipientsMode.LIVE:
        detail = "live: everyone may be mailed"
    elif mode is RecipientsMode.REDIRECT:
        detail, warning = f"redirect: everything goes to {settings.recipients.redirect_to}; {_LIVE_ADVICE}", True
    elif allow:
        detail, warning = f"allow: only {', '.join(allow)} may be mailed; {_LIVE_ADVICE}", True
    elif settings.smtp.is_loopback:
        detail = "allow: a loopback relay, so everyone; nothing leaves this machine"
    else:
        detail, can_mail = (
            "nobody can be mailed: set NOTIFIER_RECIPIENTS__MODE=live, or NOTIFIER_RECIPIENTS__ALLOW",
            False,
        )
    return CheckResult(name="recipients", ok=can_mail, detail=detail, warning=warning)


def check_sender(settings: Settings) -> CheckResult:
    """Check the sender that notifications get by default."""
    try:
        sender = get_default_sender(settings)
    except ConfigurationError as error:
        return CheckResult(name="sender", ok=False, detail=str(error))
    address = str(sender.address)
    if settings.smtp.is_loopback or not _LOCAL_DOMAIN.search(address):
        return CheckResult(name="sender", ok=True, detail=settings.from_)
    detail = f"{address} is refused by most relays: set NOTIFIER_FROM to an address of your domain"
    return CheckResult(name="sender", ok=True, warning=True, detail=detail)


async def check_webhook_secrets(db: Database, box: SecretBox, now: datetime) -> CheckResult:
    """Check that webhook secrets can be decrypted, and are encrypted if there is a key."""
    async with db.read() as connection:
        secrets = await endpoints.list_secrets_in_use(connection, now)
    return _check_secrets("webhooks", secrets, box, remedy="rotate them")


async def check_feed_secrets(db: Database, box: SecretBox) -> CheckResult:
    """Check that header fields of feeds can be decrypted, and are encrypted if there is a key."""
    async with db.read() as connection:
        secrets = await feed_store.list_stored_values(connection)
    return _check_secrets("feeds", secrets, box, remedy="save their feeds with their headers again")


def _check_secrets(name: str, secrets: Sequence[str], box: SecretBox, *, remedy: str) -> CheckResult:
    unreadable = sum(not box.can_open(secret) for secret in secrets)
    clear = sum(not secret.startswith(ENCRYPTED_PREFIX) for secret in secrets)
    if unreadable:
        detail = f"{unreadable} of {len(secrets)} are encrypted under a key that NOTIFIER_SECRET_KEY lacks: put it back"
    elif clear and box.keys:
        detail = f"{clear} of {len(secrets)} are kept in clear: {remedy}, and they are encrypted"
    elif clear:
        detail = f"{clear} kept in clear; with NOTIFIER_SECRET_KEY new ones are encrypted"
    else:
        detail = f"{len(secrets)} encrypted" if secrets else "none"
    return CheckResult(name=name, ok=not unreadable, detail=detail, warning=bool(clear and box.keys))


def check_versions() -> list[CheckResult]:
    """Check for libraries and interpreters with known faults."""
    results = []
    for name, good, why in _FAULTY_LIBRARIES:
        installed = tuple(int(part) for part in version(name).split(".")[:3])
        is_good = installed >= good
        upgrade = f"{version(name)} has a fault ({why}): run pip install --upgrade {name}"
        results.append(CheckResult(name=name, ok=is_good, detail=version(name) if is_good else upgrade))
    python = sys.version_info[:3]
    good_python = _GOOD_PYTHON.get(python[:2], python)
    safe = python >= good_python
    better = ".".join(map(str, good_python))
    detail = platform.python_version() + ("" if safe else f": lacks fixes of the email package; upgrade to {better}")
    results.append(CheckResult(name="Python", ok=True, warning=not safe, detail=detail))
    sqlite_good = sqlite3.sqlite_version_info >= _GOOD_SQLITE
    detail = sqlite3.sqlite_version + ("" if sqlite_good else ": has a WAL bug that our single writer avoids")
    results.append(CheckResult(name="SQLite", ok=True, detail=detail))
    return results


def _aware(value: datetime) -> datetime:
    return value if value.tzinfo else value.replace(tzinfo=UTC)
