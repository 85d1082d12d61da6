"""`python -m bench.scaling_table`: writes the tables of docs/scaling.md from the costs that the benchmark measured."""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from bench.rig.child_process import ROOT
from notifier.health.capacity_model import (
    BATCH,
    DELIVERED_BY,
    SINGLE,
    CapacityLimit,
    Measurement,
    build_mail_cost,
    estimate_checked_delivery,
    estimate_database,
    estimate_limited_delivery,
    estimate_relay,
    estimate_sender_process,
    read_measurement,
)

DOCUMENT = ROOT / "docs" / "scaling.md"
BEGIN, END = "<!-- begin of {name}: python -m bench.scaling_table -->", "<!-- end of {name} -->"
TEMPLATES = ("receipt_inline", "welcome")
CORES = (2, 8, 16, 32)
RELAY_SECONDS = (0.01, 0.05, 0.2, 1.0)
RELAY_CONNECTIONS = 20
"""What a sender process opens by default."""
LIMITS = {
    CapacityLimit.DATABASE_CPU: "database CPU",
    CapacityLimit.WAL: "WAL",
    CapacityLimit.CONNECTIONS: "connections",
}


def format_tables(measurement: Measurement) -> dict[str, str]:
    """Format each table of the document, by its name."""
    costs = measurement.results
    tables = {
        "costs": _format_costs(costs),
        "kept": _format_kept(costs),
        "senders": _format_senders(costs),
        "capacity": _format_capacity(costs),
        "relay": _format_relay(costs),
        "check": _format_check(measurement),
    }
    return {name: "\n".join(lines) for name, lines in tables.items()}


def replace_tables(text: str, tables: Mapping[str, str]) -> str:
    """Replace the tables in the text of the document. Raises `ValueError` if the place of one is not there."""
    for name, table in tables.items():
        before, _, rest = text.partition(begin := BEGIN.format(name=name))
        _, _, after = rest.partition(end := END.format(name=name))
        if not after:
            raise ValueError(f"there is no place for the table {name}")
        text = f"{before}{begin}\n{table}\n{end}{after}"
    return text


def _format_costs(costs: Mapping[str, float]) -> Iterator[str]:
    yield "| one mail | database | API or senders | WAL | statements | commits | fsyncs |"
    yield "|---|---|---|---|---|---|---|"
    for template in TEMPLATES:
        sizes = sorted(int(name.split(".")[3]) for name in costs if name.startswith(f"scale.{template}.submit."))
        for items in dict.fromkeys(sizes):
            at = f"scale.{template}.submit.{items}."
            name = "its own POST" if items == SINGLE else f"in batches of {items:,}"
            statements = costs[f"{at}statements"]
            yield _format_cost(
                f"`{template}`, submitted, {name}", costs, at, f"{_micro(costs[at + 'api'])}", statements
            )
        at = f"scale.{template}.deliver.{DELIVERED_BY}."
        senders = f"{_micro(costs[at + 'sender'])} + {_micro(costs[at + 'renderer'])} rendering"
        statements = costs[f"scale.{template}.deliver.statements"]
        yield _format_cost(f"`{template}`, delivered", costs, at, senders, statements)


def _format_cost(name: str, costs: Mapping[str, float], at: str, processes: str, statements: float) -> str:
    return (
        f"| {name} | {_micro(costs[at + 'database'])} | {processes} | {costs[at + 'wal']:,.0f} bytes |"
        f" {statements:.2f} | {costs[at + 'commits']:.3f} | {costs[at + 'fsyncs']:.3f} |"
    )


def _format_kept(costs: Mapping[str, float]) -> Iterator[str]:
    yield "| one mail after its end | rows | with indexes | 1 million a day, for 7 days |"
    yield "|---|---|---|---|"
    for template in TEMPLATES:
        rows, bytes_ = (costs[f"scale.{template}.kept.{name}"] for name in ("rows", "bytes"))
        yield f"| `{template}` | {rows:.0f} | {bytes_:,.0f} bytes | {bytes_ * 7e6 / 1e9:,.0f} GB |"


def _format_senders(costs: Mapping[str, float]) -> Iterator[str]:
    yield "| sender processes | database CPU | commits | fsyncs | waits for locks | waits for the WAL | mails/s |"
    yield "|---|---|---|---|---|---|---|"
    at = "scale.receipt_inline.deliver."
    for processes in sorted(
        int(name.split(".")[3]) for name in costs if name.startswith(at) and name.endswith(".rate")
    ):
        cost = {name: costs[f"{at}{processes}.{name}"] for name in ("database", "commits", "fsyncs", "rate")}
        locks, wal = costs[f"{at}{processes}.lock_share"], costs[f"{at}{processes}.wal_share"]
        yield (
            f"| {processes} | {_micro(cost['database'])} | {cost['commits']:.3f} | {cost['fsyncs']:.3f} |"
            f" {locks:.0%} | {wal:.0%} | {cost['rate']:,.0f} |"
        )


def _format_capacity(costs: Mapping[str, float]) -> Iterator[str]:
    yield "| mail | database cores | mails/s | WAL | APIs | senders, their cores | connections | ends, in this order |"
    yield "|---|---|---|---|---|---|---|---|"
    for template in TEMPLATES:
        for items, how in ((SINGLE, "a POST each"), (BATCH, "in batches")):
            cost = build_mail_cost(costs, template, items)
            for cores in CORES:
                capacity = estimate_database(cost, cores)
                yield (
                    f"| `{template}`, {how} | {cores} | {_round(capacity.per_second)} |"
                    f" {capacity.wal_per_second / 1e6:,.0f} MB/s | {capacity.api_processes} |"
                    f" {capacity.sender_processes}, {capacity.sender_cores:,.0f} | {capacity.connections} |"
                    f" {', '.join(LIMITS[limit] for limit in capacity.limits)} |"
                )


def _format_relay(costs: Mapping[str, float]) -> Iterator[str]:
    process = estimate_sender_process(build_mail_cost(costs, "receipt_inline", SINGLE))
    yield f"| seconds of a mail at the relay | mails/s of a process with {RELAY_CONNECTIONS} connections | ends first |"
    yield "|---|---|---|"
    for seconds in RELAY_SECONDS:
        relay = estimate_relay(RELAY_CONNECTIONS, seconds)
        first = "the relay" if relay < process else "the process"
        yield f"| {seconds:g} | {_round(min(relay, process))} | {first} |"


def _format_check(measurement: Measurement) -> Iterator[str]:
    costs = measurement.results
    yield "| one machine of two cores for everything | the model | measured | difference | others used |"
    yield "|---|---|---|---|---|"
    for template in TEMPLATES:
        predicted = estimate_checked_delivery(costs, template)
        measured, others = (costs[f"scale.{template}.check.{name}"] for name in ("measured", "others"))
        yield (
            f"| `{template}`, delivered | {_round(predicted)}/s | {_round(measured)}/s |"
            f" {predicted / measured - 1:+.0%} | {others:.2f} cores |"
        )
        if (cores := costs.get(f"scale.{template}.limited.cores")) is not None:
            predicted = estimate_limited_delivery(costs, template)
            measured = costs[f"scale.{template}.limited.measured"]
            name = f"`{template}`, delivered, {cores:g} cores for the database alone"
            yield f"| {name} | {_round(predicted)}/s | {_round(measured)}/s | {predicted / measured - 1:+.0%} | |"
    loads = ", ".join(f"{costs[f'scale.{template}.load']:.1f}" for template in TEMPLATES)
    yield ""
    yield f"The figures of this page: {measurement.date}, {measurement.machine}; load average before them {loads}."


def _micro(seconds: float) -> str:
    return f"{seconds * 1e6:,.0f} µs"


def _round(number: float) -> str:
    """Round to two digits, because no more is known."""
    return f"{float(f'{number:.2g}'):,.0f}"


def main() -> None:
    """Write the tables; an optional argument is another document."""
    document = Path(sys.argv[1]) if len(sys.argv) > 1 else DOCUMENT
    document.write_text(replace_tables(document.read_text(), format_tables(read_measurement())))


if __name__ == "__main__":
    main()
