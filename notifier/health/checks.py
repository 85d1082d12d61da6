"""The checks of an installation. Each gives a result with a sentence on what to do."""

import platform
import sqlite3
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from sqlalchemy import text

from notifier.certificates import SMTP_VARIABLE, WEBHOOKS_VARIABLE, make_context
from notifier.clock import Clock
from notifier.db import directory, migrate
from notifier.db.columns import UtcDateTime
from notifier.db.engine import Database
from notifier.db.write_probe import find_disk_fault, find_write_fault
from notifier.errors import ConfigurationError, DatabaseUnavailableError
from notifier.settings import RecipientsMode, Security, Settings
from notifier.smtp.transport import Transport
from notifier.telemetry.redaction import redact
from notifier.throttle.relay_state import limited_senders, obstacles
from notifier.webhooks import endpoint
from notifier.webhooks.secret_box import MARK, SecretBox

OUT_OF_REACH = "out of reach: check NOTIFIER_DATABASE_URL and the server"
MAX_SHOWN_SENDERS = 5
"""Senders that one result names."""
MOST_SKEW = 30.0  # seconds between this host and the database
_FAULTY_LIBRARIES = (
    # (name, first good version, the fault of older ones)
    ("aiosmtplib", (5, 1, 2), "STARTTLS response injection and CRLF injection in addresses"),
    ("Jinja2", (3, 1, 6), "sandbox escape by |attr (CVE-2025-27516)"),
)
_GOOD_SQLITE = (3, 51, 3)
_GOOD_PYTHON = {(3, 11): (3, 11, 15), (3, 12): (3, 12, 13), (3, 13): (3, 13, 12), (3, 14): (3, 14, 3)}


@dataclass(frozen=True, kw_only=True)
class Finding:
    """The result of one check. `warning`: it works, but an operator should know."""

    name: str
    ok: bool
    detail: str
    warning: bool = False


async def database(db: Database, *, with_reason: bool = False, thorough: bool = False) -> list[Finding]:
    """Check that the database answers, takes writes, and has the schema that this release needs.

    `with_reason`: a failure names host and role; for operators only, as readiness is public.
    `thorough`: write half a megabyte and roll it back, even if there is no sign of a fault.
    """
    try:
        current = None if db.is_missing else await migrate.current(db)
    except DatabaseUnavailableError as error:
        disk = find_disk_fault(db.folder) if db.folder is not None else None  # SQLite cannot be read on a full disk
        full = f"no file can be written beside it ({disk}): free some space" if disk else None
        reason = error.reason if with_reason else None
        return [Finding(name="database", ok=False, detail=full or reason or OUT_OF_REACH)]
    if db.is_missing:
        fault, answer = None, f"{db.address.place} does not exist yet"
    else:
        fault = await find_write_fault(db, thorough=thorough)
        answer = f"{'SQLite' if db.is_sqlite else 'PostgreSQL'} answers"
    answer += f", but nothing can be written: {fault}" if fault else ""
    outdated = migrate.fault(current)
    return [
        Finding(name="database", ok=fault is None, detail=answer),
        Finding(name="migrations", ok=outdated is None, detail=outdated or f"at {current}"),
    ]


def data_directory(settings: Settings) -> list[Finding]:
    """Check that the data directory can be written. No result if it does not exist and can be created."""
    fault = directory.fault(settings.data_dir)
    if fault is None and settings.data_dir.is_dir():
        disk = find_disk_fault(settings.data_dir, thorough=True)
        fault = f"cannot be written ({disk}): free some space, or check its rights" if disk else None
    elif fault is None:
        return []
    return [Finding(name="data_dir", ok=fault is None, detail=fault or "can be written")]


def journal(folder: Path, *, has_room: bool) -> Finding:
    """Check that the journal can be written. `has_room`: False after a write that failed."""
    fault = find_disk_fault(folder) if has_room else "see the log"
    detail = "can be written" if fault is None else f"cannot be written, so no mail is sent: {fault}"
    return Finding(name="journal", ok=fault is None, detail=detail)


async def clock(db: Database, host: Clock) -> Finding:
    """Check that this host and the database agree on the time."""
    statement = text("SELECT CURRENT_TIMESTAMP AS now")
    statement_typed: Any = statement if not db.is_sqlite else statement.columns(now=UtcDateTime)
    try:
        async with db.read() as connection:
            database_time = (await connection.execute(statement_typed)).scalar_one()
    except DatabaseUnavailableError:
        return Finding(name="clock", ok=False, detail=OUT_OF_REACH)
    skew = abs((host.now() - _aware(database_time)).total_seconds())
    detail = f"within {skew:.0f} s of the database" if skew < MOST_SKEW else f"{skew:.0f} s apart: check NTP"
    return Finding(name="clock", ok=skew < MOST_SKEW, detail=detail)


async def relay(transport: Transport, settings: Settings) -> Finding:
    """Check that the relay can be reached, protected and logged in to."""
    smtp = settings.smtp
    where = f"{smtp.host}:{smtp.port}"
    problem = await transport.probe()
    if problem is not None:
        return Finding(name="relay", ok=False, detail=f"{where}: {redact(problem.detail)}")
    how = {Security.NONE: "not encrypted", Security.STARTTLS: "STARTTLS", Security.TLS: "TLS"}
    login = f"logged in as {smtp.username}" if smtp.username else "no login"
    return Finding(name="relay", ok=True, detail=f"{where} answers, {how[smtp.effective_security]}, {login}")


async def circuits(db: Database) -> list[Finding]:
    """List the open circuits of running senders."""
    try:
        async with db.read() as connection:
            rows = await obstacles(connection)
    except DatabaseUnavailableError:
        return [Finding(name="circuit", ok=False, detail=OUT_OF_REACH)]
    details = [
        f"{row.relay} takes no mail since {row.since.isoformat(timespec='seconds')}: {row.reason}" for row in rows
    ]
    return [Finding(name="circuit", ok=True, warning=True, detail=detail) for detail in details]


def certificates(settings: Settings) -> list[Finding]:
    """Check that the certificate files in the settings can be used."""
    findings = []
    for name, ca_file, variable in (
        ("smtp_ca", settings.smtp.ca_file, SMTP_VARIABLE),
        ("webhooks_ca", settings.webhooks.ca_file, WEBHOOKS_VARIABLE),
    ):
        if ca_file is None:
            continue
        try:
            make_context(ca_file, variable)
        except ConfigurationError as error:
            findings.append(Finding(name=name, ok=False, detail=str(error)))
        else:
            findings.append(Finding(name=name, ok=True, detail=f"{ca_file} can be used"))
    return findings


async def connections(db: Database, settings: Settings) -> Finding:
    """Report how many connections are used: as many as the setting allows, unless a relay takes fewer."""
    try:
        async with db.read() as connection:
            limited = await limited_senders(connection)
    except DatabaseUnavailableError:
        return Finding(name="connections", ok=False, detail=OUT_OF_REACH)
    if not limited:
        detail = f"up to {settings.smtp.max_connections} for each sender process (NOTIFIER_SMTP__MAX_CONNECTIONS)"
        return Finding(name="connections", ok=True, detail=detail)
    each = "; ".join(
        f"{sender.in_force} of {sender.maximum} to {sender.relay}"
        f" since {sender.since.isoformat(timespec='seconds')} ({sender.reason})"
        for sender in limited[:MAX_SHOWN_SENDERS]
    )
    more = f"; and {len(limited) - MAX_SHOWN_SENDERS} more" if len(limited) > MAX_SHOWN_SENDERS else ""
    detail = f"{each}{more}: the relay refuses more, so ask its operator, or lower NOTIFIER_SMTP__MAX_CONNECTIONS"
    return Finding(name="connections", ok=True, warning=True, detail=detail)


def recipients(settings: Settings) -> Finding:
    """Report who may be mailed."""
    mode = settings.recipients.mode
    if mode is RecipientsMode.LIVE:
        detail, warning = "live: everyone may be mailed", False
    elif mode is RecipientsMode.REDIRECT:
        detail, warning = f"redirect: everything goes to {settings.recipients.redirect_to}", True
    elif settings.recipients.allow:
        detail, warning = f"allow: only {', '.join(settings.recipients.allow)}", True
    elif settings.smtp.is_loopback:
        detail, warning = "allow: a loopback relay, so everyone; nothing leaves this machine", False
    else:
        detail, warning = "allow with an empty list: nobody can be mailed; set NOTIFIER_RECIPIENTS__MODE=live", True
    return Finding(name="recipients", ok=True, detail=detail, warning=warning)


async def webhook_secrets(db: Database, box: SecretBox, now: datetime) -> Finding:
    """Check that webhook secrets can be decrypted, and are encrypted if there is a key."""
    async with db.read() as connection:
        secrets = await endpoint.secrets_in_use(connection, now)
    unreadable = sum(not box.can_open(secret) for secret in secrets)
    clear = sum(not secret.startswith(MARK) for secret in secrets)
    if unreadable:
        detail = f"{unreadable} of {len(secrets)} are encrypted under a key that NOTIFIER_SECRET_KEY lacks: put it back"
    elif clear and box.keys:
        detail = f"{clear} of {len(secrets)} are kept in clear: rotate them, and they are encrypted"
    elif clear:
        detail = f"{clear} kept in clear; with NOTIFIER_SECRET_KEY new ones are encrypted"
    else:
        detail = f"{len(secrets)} encrypted" if secrets else "none"
    return Finding(name="webhooks", ok=not unreadable, detail=detail, warning=bool(clear and box.keys))


def versions() -> list[Finding]:
    """Check for libraries and interpreters with known faults."""
    results = []
    for name, good, why in _FAULTY_LIBRARIES:
        installed = tuple(int(part) for part in version(name).split(".")[:3])
        is_good = installed >= good
        results.append(Finding(name=name, ok=is_good, detail=version(name) if is_good else f"upgrade: {why}"))
    python = sys.version_info[:3]
    safe = python >= _GOOD_PYTHON.get(python[:2], python)
    detail = platform.python_version() + ("" if safe else ": the email package lacks header-injection fixes; upgrade")
    results.append(Finding(name="Python", ok=True, warning=not safe, detail=detail))
    sqlite_good = sqlite3.sqlite_version_info >= _GOOD_SQLITE
    detail = sqlite3.sqlite_version + ("" if sqlite_good else ": has a WAL bug that our single writer avoids")
    results.append(Finding(name="SQLite", ok=True, detail=detail))
    return results


def _aware(value: datetime) -> datetime:
    return value if value.tzinfo else value.replace(tzinfo=UTC)
