"""(b) Mails per second of a sender with a full queue, compared with the sink's maximum; the cost of a mail."""

import json
import statistics
from dataclasses import dataclass, replace

from bench.rig import server_cost
from bench.rig.installation import Installation, Installations
from bench.rig.queue_filler import build_variables, fill_queue
from bench.rig.relay import Relay
from bench.rig.result_table import Figure, Table, format_best_and_median
from bench.rig.sample_mail import SampleMail, send_sample
from bench.rig.sender_run import DrainResult, SenderSetup, run_drain

COUNTED = 2000
FEW = 20
"""Sessions with a mail each while commits and WAL are counted; with more sessions, more mails share a commit."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much to do, and how the sender is set up."""

    rounds: int
    mails: int  # in each round
    limit_mails: int  # for each measurement of the limit
    setup: SenderSetup


@dataclass(frozen=True, kw_only=True)
class FilledQueue:
    """A full queue, and the cost of submitting each of its mails."""

    installation: Installation
    wal: float  # bytes
    written: float  # transactions that wrote
    variables: int  # bytes of compact JSON


@dataclass(frozen=True, kw_only=True)
class TemplateResults:
    """All figures of one template."""

    mail: SampleMail
    statements: float  # for each mail
    filled: FilledQueue
    limit_name: str
    limits: tuple[float, float]  # messages per second, before and after
    rounds: list[DrainResult]
    few: DrainResult  # with `FEW` sessions

    def each(self, name: str) -> float:
        """The median of a cost, divided by the mails."""
        return float(statistics.median(getattr(round_.cost, name) / round_.mails for round_ in self.rounds))

    def with_few(self, name: str) -> float:
        """A cost with few sessions, divided by the mails."""
        return float(getattr(self.few.cost, name) / self.few.mails)


async def measure(made: Installations, relay: Relay, template: str, plan: Plan) -> Table:
    """Measure the mail's size, the statements, the limit, the rounds, and the limit again."""
    mail = await send_sample(made, template)
    statements = await _statements(made, relay, template, plan)
    filled = await fill_and_weigh(await made.postgresql(), template, plan.mails)
    before = await relay.limit(size=mail.wire, count=plan.limit_mails)
    rounds = []
    few = replace(plan.setup, sessions=min(FEW, plan.setup.sessions), mails=1)
    for setup in (*[plan.setup] * plan.rounds, few):
        installation = await made.copy(filled.installation)
        rounds.append(await run_drain(installation, relay.port, plan.mails, setup))
        await made.remove(installation)
    after = await relay.limit(size=mail.wire, count=plan.limit_mails)
    await made.remove(filled.installation)
    results = TemplateResults(
        mail=mail,
        statements=statements,
        filled=filled,
        limit_name=relay.limit_name,
        limits=(before, after),
        rounds=rounds[:-1],
        few=rounds[-1],
    )
    return _table(template, plan, results)


async def fill_and_weigh(installation: Installation, template: str, mails: int) -> FilledQueue:
    """Fill a queue, and return it with the cost of submitting it."""
    before = await server_cost.read_cost(installation)
    await fill_queue(installation, template, mails)
    spent = await server_cost.read_cost(installation) - before
    plain = json.dumps(build_variables(template, 0), ensure_ascii=False, separators=(",", ":"))
    return FilledQueue(
        installation=installation,
        wal=spent.wal / mails,
        written=spent.written / mails,
        variables=len(plain.encode()),
    )


async def _statements(made: Installations, relay: Relay, template: str, plan: Plan) -> float:
    """Count statements for each mail in a separate drain, because logging them takes time."""
    mails = min(plan.mails, COUNTED)
    installation = await made.postgresql()
    await fill_queue(installation, template, mails)
    async with server_cost.count_statements(installation) as counted:
        await run_drain(installation, relay.port, mails, plan.setup)
    await made.remove(installation)
    return counted.count / mails


def _table(template: str, plan: Plan, measured: TemplateResults) -> Table:
    rates, limit = [round_.per_second for round_ in measured.rounds], sum(measured.limits) / 2
    ratios = [rate / limit for rate in rates]
    cpu = "{:,.0f} / {:,.0f} / {:,.0f} µs".format(
        *(measured.each(name) * 1e6 for name in ("parent", "children", "server"))
    )
    counted = ("written", "transactions", "wal", "pages")
    written, transactions, wal, pages = (measured.with_few(name) for name in counted)
    submitted = measured.filled.wal, measured.filled.variables
    command = " ".join(["notifier", *plan.setup.words, "--drain"])
    results = {
        "limit": limit,
        "best": max(rates),
        "median": statistics.median(rates),
        "ratio_best": max(ratios),
        "statements": measured.statements,
        "few": measured.few.per_second,
        "commits_of_10": written * 10,
        "wal": wal,
        "wal_both": wal + submitted[0] - submitted[1],
        "wire": measured.mail.wire,
    }
    return Table(
        title=f"(b) {template}: {plan.mails:,}, `{command}`, {plan.setup.sessions} sessions, {plan.rounds} rounds",
        figures=[
            Figure("a mail: HTML / text / on the wire", "{:,} / {:,} / {:,} octets".format(*measured.mail.weights)),
            Figure(f"limit before / after: {measured.limit_name}", "{:,.0f} / {:,.0f} msg/s".format(*measured.limits)),
            Figure("first claim to last settle", f"{format_best_and_median(rates, '{:,.0f}')} msg/s", is_headline=True),
            Figure("sender ÷ limit", format_best_and_median(ratios, "{:.3f}"), is_headline=True),
            Figure("a mail: CPU of parent / children / server", cpu),
            Figure("a mail: statements, with BEGIN and COMMIT", f"{measured.statements:.3f}"),
            Figure(f"with {FEW} sessions, nothing announced", f"{measured.few.per_second:,.0f} msg/s"),
            Figure("  10 mails: commits that wrote (transaction ids)", f"{written * 10:.2f}", is_headline=True),
            Figure("    and to submit them, 200 at once", f"{measured.filled.written * 10:.2f}"),
            Figure("  10 mails: transactions, those that only read too", f"{transactions * 10:.2f}"),
            Figure("  a mail: WAL, full-page images in it", f"{wal:,.0f} octets, {pages:.3f}"),
            Figure("    and to submit it, of which its variables", "{:,.0f}, {:,} octets".format(*submitted)),
            Figure(
                "    both, beyond its variables", f"{wal + submitted[0] - submitted[1]:,.0f} octets", is_headline=True
            ),
        ],
        results={f"drain.{template}.{name}": value for name, value in results.items()},
    )
