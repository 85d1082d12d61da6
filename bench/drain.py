"""(b) Mails per second of a sender that finds a full queue, beside what the sink takes at most; and what a mail costs."""

import asyncio
import email
import email.policy
import statistics
import time
from dataclasses import dataclass
from typing import Any

import asyncpg

from bench import cost, tree
from bench.cost import PEEK, Cost
from bench.filling import preload
from bench.installation import Installation, Installations
from bench.process import NOTIFIER, Child, running
from bench.relay import Relay
from bench.sink import Sink
from bench.table import Figure, Table, best_and_median, median_and_range

LONGEST_DRAIN = 900.0
WEIGHED = 5
COUNTED = 2000
SMALLEST_HTML = 8192
SMALLEST_TEXT = 700
PEEK_INTERVAL = 0.005
_CLAIMED = f"SELECT EXISTS (SELECT 1 FROM outbox_entry WHERE state = 'leased') {PEEK}"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much to do, and how the sender is set up."""

    rounds: int
    mails: int  # in each round
    limit_mails: int  # for each measurement of the limit
    sessions: int
    processes: int = 1
    children: int | None = None  # None: as the sender sees fit

    @property
    def command(self) -> list[str]:
        """The sender's command line."""
        several = ["--processes", str(self.processes)] if self.processes > 1 else []
        return [NOTIFIER, "sender", "--drain", *several]

    def settings(self, installation: Installation, port: int) -> dict[str, str]:
        """The sender's environment."""
        mine = {
            "NOTIFIER_SENDER__CONCURRENCY": str(self.sessions),
            "NOTIFIER_SMTP__MAX_CONNECTIONS": str(self.sessions),
        }
        if self.children is not None:
            mine["NOTIFIER_SENDER__RENDER_CHILDREN"] = str(self.children)
        return installation.settings(smtp_port=port) | mine


@dataclass(frozen=True, kw_only=True)
class Drained:
    """One round."""

    mails: int
    seconds: float  # from the first claim to the last settle
    parent: float  # CPU seconds of the sender's first process
    children: float  # of all processes below it
    cost: Cost

    @property
    def per_second(self) -> float:
        """Mails per second."""
        return self.mails / self.seconds


@dataclass(frozen=True, kw_only=True)
class Weight:
    """What a mail of the template weighs, in octets."""

    wire: int
    html: int
    text: int


async def measure(made: Installations, relay: Relay, template: str, plan: Plan) -> Table:
    """Weigh, count statements, then the limit, the rounds, and the limit again."""
    weight = await weigh(made, template)
    statements = await _statements(made, relay, template, plan)
    filled = await made.postgresql()
    await preload(filled, template, plan.mails)
    before = await relay.limit(size=weight.wire, count=plan.limit_mails)
    rounds = []
    for _ in range(plan.rounds):
        installation = await made.copy(filled)
        rounds.append(await drain(installation, relay.port, plan.mails, plan))
        await made.remove(installation)
    after = await relay.limit(size=weight.wire, count=plan.limit_mails)
    await made.remove(filled)
    return _table(template, plan, weight, rounds, limits=(before, after), statements=statements)


async def weigh(made: Installations, template: str) -> Weight:
    """Send a few to a sink that looks at them. Raises `AssertionError` if they are smaller than a real mail."""
    installation, plan = await made.postgresql(), Plan(rounds=1, mails=WEIGHED, limit_mails=0, sessions=1)
    await preload(installation, template, WEIGHED)
    async with Sink() as sink:
        await drain(installation, sink.port, WEIGHED, plan)
        message: Any = email.message_from_bytes(sink.bodies[-1], policy=email.policy.default)
        wire = int(statistics.median(sink.sizes))
    await made.remove(installation)
    html, text = (len(message.get_body((kind,)).get_content().encode()) for kind in ("html", "plain"))
    assert html >= SMALLEST_HTML, f"{template}: {html} octets of HTML are less than {SMALLEST_HTML}"
    assert text >= SMALLEST_TEXT, f"{template}: {text} octets of text are less than {SMALLEST_TEXT}"
    return Weight(wire=wire, html=html, text=text)


async def drain(installation: Installation, port: int, mails: int, plan: Plan) -> Drained:
    """One sender from its first claim to its last settle; every mail must be `sent` afterwards."""
    before = await cost.read(installation)
    connection = await asyncpg.connect(installation.url)
    claiming = asyncio.create_task(first_claim(connection))
    try:
        async with running(plan.command, plan.settings(installation, port)) as sender:
            cpu = await _until_drained(sender)
        started, peeks = await claiming
        ended = (await connection.fetchval("SELECT max(updated_at) FROM notification")).timestamp()
    finally:
        claiming.cancel()
        await connection.close()
    spent = await cost.read(installation) - before
    sent = await installation.count("sent")
    if sent != mails:
        raise AssertionError(f"{mails} mails were queued, and {sent} are sent")
    ours = Cost(**vars(spent) | {"transactions": spent.transactions - peeks})
    return Drained(mails=mails, seconds=ended - started, parent=cpu.parent, children=cpu.children, cost=ours)


async def first_claim(connection: asyncpg.Connection) -> tuple[float, int]:
    """The last moment (`time.time`) at which nothing was leased yet, and how often it had to be asked."""
    await connection.execute("SET enable_seqscan = off")
    peeks = 2
    while True:
        moment = time.time()
        peeks += 1
        if await connection.fetchval(_CLAIMED):
            return moment, peeks
        await asyncio.sleep(PEEK_INTERVAL)


async def _until_drained(sender: Child) -> tree.Watched:
    """Wait for its end; returns the CPU time that it used after it was ready."""
    await sender.line()
    async with tree.watched(sender.pid) as watch:
        await sender.finished(seconds=LONGEST_DRAIN)
    return watch


async def _statements(made: Installations, relay: Relay, template: str, plan: Plan) -> float:
    """Statements for each mail, in a drain of its own: writing each into a log takes time."""
    mails = min(plan.mails, COUNTED)
    installation = await made.postgresql()
    await preload(installation, template, mails)
    async with cost.statements(installation) as counted:
        await drain(installation, relay.port, mails, plan)
    await made.remove(installation)
    return counted.count / mails


def _table(
    template: str, plan: Plan, weight: Weight, rounds: list[Drained], *, limits: tuple[float, float], statements: float
) -> Table:
    rates, limit = [one.per_second for one in rounds], sum(limits) / 2
    each = {
        name: statistics.median(getattr(one.cost, name) / one.mails for one in rounds) for name in vars(rounds[0].cost)
    }
    parent, children = (
        statistics.median(getattr(one, name) / one.mails * 1e6 for one in rounds) for name in ("parent", "children")
    )
    ratios = [rate / limit for rate in rates]
    command = " ".join(["notifier", *plan.command[1:]])
    return Table(
        title=f"(b) `{command}`, {plan.sessions} sessions, postgresql: {plan.mails:,} {template}, {plan.rounds} rounds",
        figures=[
            Figure("a mail: HTML / text / on the wire", f"{weight.html:,} / {weight.text:,} / {weight.wire:,} octets"),
            Figure(
                f"limit before / after: smtp-source -s {plan.sessions}", f"{limits[0]:,.0f} / {limits[1]:,.0f} msg/s"
            ),
            Figure("first claim to last settle", f"{best_and_median(rates, '{:,.0f}')} msg/s"),
            Figure("sender ÷ limit", best_and_median(ratios, "{:.3f}"), is_ratio=True),
            Figure(
                "a mail: CPU of parent / its children / server",
                f"{parent:,.0f} / {children:,.0f} / {each['cpu'] * 1e6:,.0f} µs",
            ),
            Figure("a mail: statements, with BEGIN and COMMIT", f"{statements:.3f}"),
            Figure("10 mails: commits that wrote (transaction ids)", f"{each['written'] * 10:.2f}", is_ratio=True),
            Figure("10 mails: transactions, those that only read too", f"{each['transactions'] * 10:.2f}"),
            Figure(
                "a mail: WAL, its full-page images", f"{each['wal']:,.0f} octets, {each['pages']:.3f}", is_ratio=True
            ),
        ],
        results={
            f"drain.{template}.{name}": value
            for name, value in {
                "limit": limit,
                "best": max(rates),
                "median": statistics.median(rates),
                "ratio_best": max(ratios),
                "statements": statements,
                "commits_of_10": each["written"] * 10,
                "wal": each["wal"],
                "wire": weight.wire,
            }.items()
        },
    )
