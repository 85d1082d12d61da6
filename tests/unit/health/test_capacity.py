"""The model of capacity, and what its report says, with plain numbers that can be checked by hand."""

from dataclasses import replace

import pytest

from notifier.health.capacity_model import (
    BATCH,
    SINGLE,
    CapacityLimit,
    MailCost,
    build_mail_cost,
    estimate_database,
    estimate_relay,
    estimate_sender_process,
    estimate_shared_machine,
    read_measurement,
)
from notifier.health.capacity_report import NEXT_STEPS, CapacityReport, build_report
from notifier.health.installation_usage import InstallationUsage, SenderUsage, ServerUsage
from notifier.statistics.waiting_mail import WaitingMail

COST = MailCost(
    database=0.0001, api=0.0004, sender=0.0002, renderer=0.0001, wal=2000, api_connections=5, sender_connections=10
)
SENDERS = SenderUsage(processes=4, hosts=2, per_second=None, relay_connections=80, limited=0, outages=0)
SERVER = ServerUsage(
    connections=60,
    allowed_connections=400,
    process_connections=22,
    is_pooled=False,
    commits_per_second=10,
    wal_per_second=1e6,
)
USAGE = InstallationUsage(
    accepted_per_second=2,
    sent_per_second=1,
    relay_seconds=0.002,
    waiting=WaitingMail(due=7, later=2, held=1, is_cut=False),
    busiest=None,
    senders=SENDERS,
    server=SERVER,
)


def _find_first(report: CapacityReport) -> CapacityLimit:
    assert report.first_limit is not None
    assert report.next_step == NEXT_STEPS[report.first_limit.limit]
    return report.first_limit.limit


def test_the_database_carries_what_its_cores_can_pay_for() -> None:
    """Two cores, of which seven tenths are for mail, at a tenth of a millisecond a mail: 14,000 a second."""
    capacity = estimate_database(COST, 2)
    assert capacity.per_second == pytest.approx(14_000)
    assert capacity.wal_per_second == pytest.approx(28e6)
    assert (capacity.api_processes, capacity.sender_processes) == (7, 4)  # 2,000 and 4,000 a second each
    assert capacity.connections == 7 * 5 + 4 * 10
    assert capacity.sender_cores == pytest.approx(14_000 * 0.0003 / 0.8)
    assert capacity.limits == (CapacityLimit.DATABASE_CPU,)


def test_what_ends_before_the_database() -> None:
    """More processes than PostgreSQL's default takes connections, or more WAL than the disk takes, end first."""
    assert estimate_database(COST, 4).limits == (CapacityLimit.CONNECTIONS, CapacityLimit.DATABASE_CPU)
    assert estimate_database(replace(COST, wal=50_000), 2).limits == (CapacityLimit.WAL, CapacityLimit.DATABASE_CPU)


def test_a_process_and_a_relay_have_limits_of_their_own() -> None:
    """A sender is as fast as the busier of its two kinds of processes; a relay as its connections and its answers."""
    assert estimate_sender_process(COST) == pytest.approx(4000)
    assert estimate_sender_process(replace(COST, renderer=0.0008)) == pytest.approx(1000)
    assert estimate_relay(20, 0.1) == pytest.approx(200)
    assert estimate_shared_machine(1.5, 0.0005) == pytest.approx(3000)


def test_the_measured_costs_can_be_used() -> None:
    """Each mail of the tables has whole and plausible costs, and a batch costs the API less than single requests."""
    costs = read_measurement().results
    for template in ("receipt_inline", "welcome"):
        single, batch = (build_mail_cost(costs, template, items) for items in (SINGLE, BATCH))
        assert all(value > 0 for value in vars(single).values())
        assert batch.api < single.api
        assert max(batch.database, single.database) < 0.01


def test_a_slow_relay_ends_first() -> None:
    """With 80 connections and a second for each mail, 80 mails a second; the advice is about the relay."""
    report = build_report(replace(USAGE, relay_seconds=1.0), 16)
    assert _find_first(report) is CapacityLimit.RELAY
    assert report.limits[0].mails_per_second == pytest.approx(80)
    assert "so at most about 80 mails/s" in dict(report.lines)["relay"]


def test_a_measured_rate_replaces_the_estimate_of_the_relay() -> None:
    """What senders measured while mail waited is the truth about senders and relay."""
    senders = replace(SENDERS, per_second=33.0)
    report = build_report(replace(USAGE, relay_seconds=1.0, senders=senders), 16)
    assert (_find_first(report), report.limits[0].mails_per_second) == (CapacityLimit.RELAY, 33.0)


def test_a_small_database_ends_first() -> None:
    """Its processor, with a fifth of a core and a fast relay; it is left out if nobody names the cores."""
    fast = replace(USAGE, relay_seconds=0.001)
    assert _find_first(build_report(fast, 0.2)) is CapacityLimit.DATABASE_CPU
    without = build_report(fast, None)
    assert CapacityLimit.DATABASE_CPU not in {limit.limit for limit in without.limits}
    assert "--database-cores" in dict(without.lines)["database"]


def test_no_room_for_another_process() -> None:
    """The room for connections is counted in whole sender processes; none is left when fewer connections are free."""
    full = replace(SERVER, connections=400 - 21)
    report = build_report(replace(USAGE, server=full), 64)
    assert "room for 0 more sender processes" in dict(report.lines)["connections"]
    rates = {limit.limit: limit.mails_per_second for limit in report.limits}
    assert rates[CapacityLimit.CONNECTIONS] == rates[CapacityLimit.SENDERS]


def test_a_pooler_has_room() -> None:
    """Behind a pooler, the free connections of PostgreSQL limit no processes."""
    full = replace(SERVER, connections=400, is_pooled=True)
    report = build_report(replace(USAGE, server=full), 64)
    assert CapacityLimit.CONNECTIONS not in {limit.limit for limit in report.limits}
    assert "a pooler decides" in dict(report.lines)["connections"]


def test_nobody_sends() -> None:
    """Without a living sender nothing is carried, and the next step is to start one."""
    nobody = replace(SENDERS, processes=0, hosts=0, relay_connections=0)
    report = build_report(replace(USAGE, senders=nobody, relay_seconds=None), 8)
    assert _find_first(report) is CapacityLimit.SENDERS
    assert report.limits[0].mails_per_second == 0
    assert "none is alive" in dict(report.lines)["senders"]


def test_sqlite_is_one_process() -> None:
    """On SQLite there is no server and no second sender to compare."""
    report = build_report(replace(USAGE, senders=None, server=None), 4)
    assert (report.limits, report.first_limit) == ([], None)
    assert "PostgreSQL" in report.next_step
