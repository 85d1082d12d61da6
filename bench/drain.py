"""(b) Mails per second of a sender that finds a full queue, beside what the sink takes at most; what a mail costs."""

import json
import statistics
from dataclasses import dataclass, replace

from bench import cost
from bench.filling import preload, variables
from bench.installation import Installation, Installations
from bench.relay import Relay
from bench.sender import Drained, Setup, drain
from bench.specimen import Specimen, specimen
from bench.table import Figure, Table, best_and_median

COUNTED = 2000
FEW = 20
"""Sessions, with a mail each, with which commits and WAL are counted: the more there are, the more share a commit."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much to do, and how the sender is set up."""

    rounds: int
    mails: int  # in each round
    limit_mails: int  # for each measurement of the limit
    setup: Setup


@dataclass(frozen=True, kw_only=True)
class Filled:
    """A full queue, and what each of its mails cost to submit."""

    installation: Installation
    wal: float  # octets
    written: float  # transactions that wrote
    variables: int  # octets of compact JSON


@dataclass(frozen=True, kw_only=True)
class Found:
    """Everything about one template."""

    mail: Specimen
    statements: float  # for each mail
    filled: Filled
    limit_name: str
    limits: tuple[float, float]  # messages per second, before and after
    rounds: list[Drained]
    few: Drained  # with `FEW` sessions

    def each(self, name: str) -> float:
        """The median of a cost, divided by the mails."""
        return float(statistics.median(getattr(round_.cost, name) / round_.mails for round_ in self.rounds))

    def with_few(self, name: str) -> float:
        """A cost with few sessions, divided by the mails."""
        return float(getattr(self.few.cost, name) / self.few.mails)


async def measure(made: Installations, relay: Relay, template: str, plan: Plan) -> Table:
    """Weigh, count statements, then the limit, the rounds, and the limit again."""
    mail = await specimen(made, template)
    statements = await _statements(made, relay, template, plan)
    filled = await fill(await made.postgresql(), template, plan.mails)
    before = await relay.limit(size=mail.wire, count=plan.limit_mails)
    rounds = []
    few = replace(plan.setup, sessions=min(FEW, plan.setup.sessions), mails=1)
    for setup in (*[plan.setup] * plan.rounds, few):
        installation = await made.copy(filled.installation)
        rounds.append(await drain(installation, relay.port, plan.mails, setup))
        await made.remove(installation)
    after = await relay.limit(size=mail.wire, count=plan.limit_mails)
    await made.remove(filled.installation)
    results = Found(
        mail=mail,
        statements=statements,
        filled=filled,
        limit_name=relay.limit_name,
        limits=(before, after),
        rounds=rounds[:-1],
        few=rounds[-1],
    )
    return _table(template, plan, results)


async def fill(installation: Installation, template: str, mails: int) -> Filled:
    """A full queue, and what submitting it cost."""
    before = await cost.read(installation)
    await preload(installation, template, mails)
    spent = await cost.read(installation) - before
    plain = json.dumps(variables(template, 0), ensure_ascii=False, separators=(",", ":"))
    return Filled(
        installation=installation,
        wal=spent.wal / mails,
        written=spent.written / mails,
        variables=len(plain.encode()),
    )


async def _statements(made: Installations, relay: Relay, template: str, plan: Plan) -> float:
    """Statements for each mail, in a drain of its own: writing each into a log takes time."""
    mails = min(plan.mails, COUNTED)
    installation = await made.postgresql()
    await preload(installation, template, mails)
    async with cost.statements(installation) as counted:
        await drain(installation, relay.port, mails, plan.setup)
    await made.remove(installation)
    return counted.count / mails


def _table(template: str, plan: Plan, measured: Found) -> Table:
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
            Figure("first claim to last settle", f"{best_and_median(rates, '{:,.0f}')} msg/s", is_headline=True),
            Figure("sender ÷ limit", best_and_median(ratios, "{:.3f}"), is_headline=True),
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
