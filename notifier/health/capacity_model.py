"""How many mails a second an installation carries: the one model behind docs/scaling.md and `notifier capacity`.

It multiplies what a mail costs, as the benchmark measured it, by what there is. It knows no queue and no clock.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib import resources

COSTS_FILE = "measured_costs.json"
DATABASE_SHARE = 0.7
"""The part of the database's cores that mail may use; the rest is for peaks, searches, statistics and the purge."""
PROCESS_SHARE = 0.8
"""The part of a core that a sender or API process is planned to use."""
WAL_BYTES_PER_SECOND = 200e6
"""What a disk is assumed to take: bytes of WAL a second."""
DEFAULT_CONNECTIONS = 97
"""Connections that PostgreSQL leaves for clients by default: 100 without the three of superusers."""
SINGLE, BATCH = 1, 1000
"""Mails of a request in the two kinds of submission that were measured for the table."""
DELIVERED_BY = 2
"""Sender processes of the measured delivery."""


class CapacityLimit(StrEnum):
    """What may end first."""

    DATABASE_CPU = "database_cpu"
    WAL = "wal"
    CONNECTIONS = "connections"
    SENDERS = "senders"
    RELAY = "relay"


@dataclass(frozen=True, kw_only=True)
class MailCost:
    """What one mail costs, from its POST to its last settle. CPU times are seconds."""

    database: float  # CPU of all PostgreSQL processes
    api: float
    sender: float  # CPU of the sender process
    renderer: float  # CPU of its rendering children
    wal: float  # bytes
    api_connections: float  # to the database, of an API process
    sender_connections: float


@dataclass(frozen=True, kw_only=True)
class DatabaseCapacity:
    """What a database carries, and what is needed around it."""

    per_second: float  # mails, by the CPU of the database
    wal_per_second: float  # bytes
    api_processes: int
    sender_processes: int
    sender_cores: float  # with rendering
    connections: int
    limits: tuple[
        CapacityLimit, ...
    ]  # what ends up to this rate, in order, by PostgreSQL's default and the assumed disk


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What the benchmark wrote: `make bench BENCH="--only scale --json notifier/health/measured_costs.json"`."""

    date: str
    machine: str
    results: Mapping[str, float]  # by name


@cache
def read_measurement() -> Measurement:
    """Read the measured costs that are part of the package."""
    text = resources.files(__package__).joinpath(COSTS_FILE).read_text("utf-8")
    return Measurement(**json.loads(text))


def build_mail_cost(costs: Mapping[str, float], template: str, items: int) -> MailCost:
    """Build the cost of a mail of this template that is submitted in requests of `items` mails."""
    submit, deliver = f"scale.{template}.submit.{items}.", f"scale.{template}.deliver.{DELIVERED_BY}."
    return MailCost(
        database=costs[submit + "database"] + costs[deliver + "database"],
        api=costs[submit + "api"],
        sender=costs[deliver + "sender"],
        renderer=costs[deliver + "renderer"],
        wal=costs[submit + "wal"] + costs[deliver + "wal"],
        api_connections=costs[submit + "connections"],
        sender_connections=costs[deliver + "connections"] / DELIVERED_BY,
    )


def estimate_database(cost: MailCost, cores: float) -> DatabaseCapacity:
    """Estimate what a database with these cores carries, if nothing else runs on them."""
    per_second = cores * DATABASE_SHARE / cost.database
    api_processes = math.ceil(per_second / estimate_api_process(cost))
    sender_processes = math.ceil(per_second / estimate_sender_process(cost))
    connections = math.ceil(api_processes * cost.api_connections + sender_processes * cost.sender_connections)
    rates = {
        CapacityLimit.DATABASE_CPU: per_second,
        CapacityLimit.WAL: WAL_BYTES_PER_SECOND / cost.wal,
        CapacityLimit.CONNECTIONS: per_second * DEFAULT_CONNECTIONS / connections,
    }
    return DatabaseCapacity(
        per_second=per_second,
        wal_per_second=per_second * cost.wal,
        api_processes=api_processes,
        sender_processes=sender_processes,
        sender_cores=per_second * (cost.sender + cost.renderer) / PROCESS_SHARE,
        connections=connections,
        limits=tuple(limit for limit in sorted(rates, key=rates.__getitem__) if rates[limit] <= per_second),
    )


def estimate_api_process(cost: MailCost) -> float:
    """Estimate the mails a second that one API process accepts."""
    return PROCESS_SHARE / cost.api


def estimate_sender_process(cost: MailCost) -> float:
    """Estimate the mails a second that one sender process delivers, if neither relay nor database is slow."""
    return PROCESS_SHARE / max(cost.sender, cost.renderer)


def estimate_relay(connections: int, seconds: float) -> float:
    """Estimate the mails a second that a relay takes over these connections, if each mail takes it `seconds`."""
    return connections / seconds


def estimate_shared_machine(cores: float, cpu_of_mail: float) -> float:
    """Estimate the mails a second of a machine whose cores do everything; `cpu_of_mail`: seconds of all programs."""
    return cores / cpu_of_mail


def estimate_checked_delivery(costs: Mapping[str, float], template: str) -> float:
    """Estimate the mails a second of the delivery that checks the model: on the cores that other programs left."""
    check, deliver = f"scale.{template}.check.", f"scale.{template}.deliver.{DELIVERED_BY}."
    cpu = sum(costs[deliver + program] for program in ("database", "sender", "renderer", "relay"))
    return estimate_shared_machine(costs[check + "cores"] - costs[check + "others"], cpu)


def estimate_limited_delivery(costs: Mapping[str, float], template: str) -> float:
    """Estimate the mails a second of the delivery by a database that had a part of a core, and ended first."""
    cores = costs[f"scale.{template}.limited.cores"]
    return cores / costs[f"scale.{template}.deliver.{DELIVERED_BY}.database"]
