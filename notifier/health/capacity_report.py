"""How much of an installation is used, what ends first, and what to do: `notifier capacity` in plain sentences."""

from collections.abc import Mapping
from dataclasses import dataclass

from notifier.health.capacity_model import (
    DATABASE_SHARE,
    SINGLE,
    WAL_BYTES_PER_SECOND,
    CapacityLimit,
    MailCost,
    build_mail_cost,
    estimate_database,
    estimate_relay,
    estimate_sender_process,
    read_measurement,
)
from notifier.health.installation_usage import InstallationUsage, SenderUsage, ServerUsage
from notifier.statistics.hour_totals import BusyHour

TEMPLATE = "receipt_inline"
"""The benchmark's mail whose costs are used: ten items, 10 KB of HTML."""
MEGABYTE = 1e6
SQLITE_SENTENCE = (
    "SQLite: one process accepts and sends everything, on one host; for more, use PostgreSQL (NOTIFIER_DATABASE_URL)"
)
NEXT_STEPS: Mapping[CapacityLimit, str] = {
    CapacityLimit.DATABASE_CPU: "read searches from a standby (NOTIFIER_DATABASE_READ_URL), and give the"
    " database more cores; beyond one server, see cells in docs/scaling.md",
    CapacityLimit.WAL: "give the WAL a faster disk of its own, and send fewer variables with each mail",
    CapacityLimit.CONNECTIONS: "raise max_connections, lower NOTIFIER_DATABASE_CONNECTIONS, or put PgBouncer in front"
    " of PostgreSQL",
    CapacityLimit.SENDERS: "start more sender processes: `notifier sender --processes N`, on more hosts if their cores"
    " are busy",
    CapacityLimit.RELAY: "ask the relay's operator for more connections and raise NOTIFIER_SMTP__MAX_CONNECTIONS with"
    " NOTIFIER_SENDER__CONCURRENCY, or start more sender processes",
}


@dataclass(frozen=True, kw_only=True)
class LimitEstimate:
    """The mails a second at which something ends."""

    limit: CapacityLimit
    mails_per_second: float


@dataclass(frozen=True, kw_only=True)
class CapacityReport:
    """What is used, and what ends first."""

    lines: list[tuple[str, str]]  # a subject and a sentence
    limits: list[LimitEstimate]  # the lowest first
    next_step: str

    @property
    def first_limit(self) -> LimitEstimate | None:
        """What ends first; None if nothing is known."""
        return self.limits[0] if self.limits else None


def build_report(usage: InstallationUsage, database_cores: float | None) -> CapacityReport:
    """Compare what is used with what the model expects. `database_cores`: of PostgreSQL's host; None: not known."""
    lines = [("mail", _describe_mail(usage))]
    if usage.busiest is not None:
        lines.append(("busiest", _describe_busiest(usage.busiest)))
    if usage.senders is None or usage.server is None:
        return CapacityReport(lines=[*lines, ("database", SQLITE_SENTENCE)], limits=[], next_step=SQLITE_SENTENCE)
    cost = build_mail_cost(read_measurement().results, TEMPLATE, SINGLE)
    limits = _estimate_limits(usage, usage.senders, usage.server, cost, database_cores)
    lines += [
        ("database", _describe_database(usage, cost, database_cores)),
        ("wal", _describe_wal(usage.server)),
        ("connections", _describe_connections(usage.server)),
        ("senders", _describe_senders(usage.senders)),
        ("relay", _describe_relay(usage, usage.senders)),
    ]
    first, now = limits[0], max(usage.accepted_per_second, usage.sent_per_second)
    return CapacityReport(
        lines=[
            *lines,
            ("first limit", f"{first.limit}, at about {first.mails_per_second:,.0f} mails/s; {now:,.1f}/s now"),
        ],
        limits=limits,
        next_step=NEXT_STEPS[first.limit],
    )


def _estimate_limits(
    usage: InstallationUsage, senders: SenderUsage, server: ServerUsage, cost: MailCost, cores: float | None
) -> list[LimitEstimate]:
    each = estimate_sender_process(cost)
    limits = {CapacityLimit.SENDERS: senders.processes * each, CapacityLimit.WAL: WAL_BYTES_PER_SECOND / cost.wal}
    if usage.relay_seconds:
        limits[CapacityLimit.RELAY] = estimate_relay(senders.relay_connections, usage.relay_seconds)
    if senders.per_second is not None:  # measured, so it is the truth about the lower of the two
        lower = min((CapacityLimit.RELAY, CapacityLimit.SENDERS), key=lambda name: limits.get(name, float("inf")))
        limits[lower] = senders.per_second
    if not server.is_pooled:
        limits[CapacityLimit.CONNECTIONS] = (senders.processes + _count_room(server)) * each
    if cores is not None:
        limits[CapacityLimit.DATABASE_CPU] = estimate_database(cost, cores).per_second
    estimates = [LimitEstimate(limit=limit, mails_per_second=rate) for limit, rate in limits.items()]
    return sorted(estimates, key=lambda estimate: estimate.mails_per_second)


def _describe_mail(usage: InstallationUsage) -> str:
    waiting = usage.waiting
    more = " or more" if waiting.is_cut else ""
    return (
        f"{usage.accepted_per_second:,.1f}/s accepted and {usage.sent_per_second:,.1f}/s sent in the last ten minutes;"
        f" {waiting.due:,}{more} due now, {waiting.later:,} later, {waiting.held:,} held"
    )


def _describe_busiest(busiest: BusyHour) -> str:
    rate = busiest.number / 3600
    return f"{busiest.number:,} mails in the hour from {busiest.start:%Y-%m-%d %H:%M} UTC, {rate:,.1f}/s on average"


def _describe_database(usage: InstallationUsage, cost: MailCost, cores: float | None) -> str:
    if cores is None:
        return "SQL cannot tell how many cores the database has: say --database-cores N"
    carried = estimate_database(cost, cores).per_second
    now = max(usage.accepted_per_second, usage.sent_per_second)
    return (
        f"{cores:g} cores carry about {carried:,.0f} mails/s like the benchmark's, if mail gets {DATABASE_SHARE:.0%} of"
        f" them; {now / carried:.1%} of that is used"
    )


def _describe_wal(server: ServerUsage) -> str:
    return (
        f"{server.wal_per_second / MEGABYTE:,.2f} MB/s of WAL and {server.commits_per_second:,.0f} transactions/s now;"
        f" a disk is assumed to take {WAL_BYTES_PER_SECOND / MEGABYTE:,.0f} MB/s"
    )


def _describe_connections(server: ServerUsage) -> str:
    used = f"{server.connections} of {server.allowed_connections} to PostgreSQL are in use"
    if server.is_pooled:
        return f"{used}; a pooler decides how many it opens"
    return f"{used}; room for {_count_room(server)} more sender processes of up to {server.process_connections}"


def _count_room(server: ServerUsage) -> int:
    """Count the processes whose connections are still free."""
    return max(0, server.allowed_connections - server.connections) // server.process_connections


def _describe_senders(senders: SenderUsage) -> str:
    if not senders.processes:
        return "none is alive: mail is accepted, and waits; start one with `notifier sender`"
    rate = (
        "no queue was long enough to measure their rate"
        if senders.per_second is None
        else f"{senders.per_second:,.0f} mails/s together while mail waited"
    )
    return f"processes: {senders.processes}, hosts: {senders.hosts}; {rate}"


def _describe_relay(usage: InstallationUsage, senders: SenderUsage) -> str:
    parts = [f"up to {senders.relay_connections} connections of all senders"]
    if usage.relay_seconds is not None:
        parts.append(f"{usage.relay_seconds:.3f} s a mail")
    if usage.relay_seconds:
        rate = estimate_relay(senders.relay_connections, usage.relay_seconds)
        parts.append(f"so at most about {rate:,.0f} mails/s")
    if senders.limited:
        parts.append(f"it takes fewer than the setting allows from {senders.limited} processes")
    if senders.outages:
        parts.append(f"{senders.outages} relays take no mail now: see `notifier doctor`")
    return "; ".join(parts)
