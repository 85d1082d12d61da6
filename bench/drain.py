"""(b) Mails per second of a sender that finds a full queue, beside what the sink takes at most; what a mail costs."""

import asyncio
import email
import email.policy
import json
import statistics
import time
from dataclasses import dataclass
from typing import Any

import asyncpg

from bench import cost, tree
from bench.cost import PEEK
from bench.filling import preload, variables
from bench.installation import Installation, Installations
from bench.process import NOTIFIER, Child, running
from bench.relay import Relay
from bench.sink import Sink
from bench.table import Figure, Table, best_and_median

LONGEST_DRAIN = 900.0
WEIGHED = 5
COUNTED = 2000
SMALLEST_HTML = 8192
SMALLEST_TEXT = 700
PEEK_INTERVAL = 0.005
# An attempt, too: what was claimed may have been settled between two looks.
_CLAIMED = (
    f"""{PEEK} SELECT EXISTS (SELECT 1 FROM outbox_entry WHERE state = 'leased') OR EXISTS (SELECT 1 FROM attempt)"""
)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much to do, and how the sender is set up."""

    rounds: int
    mails: int  # in each round
    limit_mails: int  # for each measurement of the limit
    sessions: int  # of all processes together
    processes: int = 1
    children: int | None = None  # None: as the sender sees fit

    @property
    def command(self) -> list[str]:
        """The sender's command line."""
        several = ["--processes", str(self.processes)] if self.processes > 1 else []
        return [NOTIFIER, "sender", "--drain", *several]

    def settings(self, installation: Installation, port: int) -> dict[str, str]:
        """The sender's environment."""
        sessions = str(self.sessions // self.processes)
        mine = {"NOTIFIER_SENDER__CONCURRENCY": sessions, "NOTIFIER_SMTP__MAX_CONNECTIONS": sessions}
        if self.children is not None:
            mine["NOTIFIER_SENDER__RENDER_CHILDREN"] = str(self.children)
        return installation.settings(smtp_port=port) | mine


@dataclass(frozen=True, kw_only=True)
class Spent:
    """What a drain cost, in all."""

    parent: float  # CPU seconds of the sender's first process
    children: float  # of all processes below it
    server: float  # of PostgreSQL
    written: float  # transactions that wrote
    transactions: float  # those that only read included
    wal: float  # octets
    pages: float  # full-page images in it


@dataclass(frozen=True, kw_only=True)
class Drained:
    """One round."""

    mails: int
    seconds: float  # from the first claim to the last settle
    cost: Spent

    @property
    def per_second(self) -> float:
        """Mails per second."""
        return self.mails / self.seconds


@dataclass(frozen=True, kw_only=True)
class Specimen:
    """One mail of a template, as it left."""

    sender: str
    subject: str
    html: str
    text: str
    wire: int  # octets, the median of several

    @property
    def weights(self) -> tuple[int, int, int]:
        """Octets of HTML, text, and on the wire."""
        return len(self.html.encode()), len(self.text.encode()), self.wire


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

    def each(self, name: str) -> float:
        """The median of a cost, divided by the mails."""
        return float(statistics.median(getattr(one.cost, name) / one.mails for one in self.rounds))


async def measure(made: Installations, relay: Relay, template: str, plan: Plan) -> Table:
    """Weigh, count statements, then the limit, the rounds, and the limit again."""
    mail = await specimen(made, template)
    statements = await _statements(made, relay, template, plan)
    filled = await _fill(await made.postgresql(), template, plan.mails)
    before = await relay.limit(size=mail.wire, count=plan.limit_mails)
    rounds = []
    for _ in range(plan.rounds):
        installation = await made.copy(filled.installation)
        rounds.append(await drain(installation, relay.port, plan.mails, plan))
        await made.remove(installation)
    after = await relay.limit(size=mail.wire, count=plan.limit_mails)
    await made.remove(filled.installation)
    found = Found(
        mail=mail,
        statements=statements,
        filled=filled,
        limit_name=relay.limit_name,
        limits=(before, after),
        rounds=rounds,
    )
    return _table(template, plan, found)


async def _fill(installation: Installation, template: str, mails: int) -> Filled:
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


async def specimen(made: Installations, template: str) -> Specimen:
    """Send a few to a sink that looks at them. Raises `AssertionError` if they are smaller than a real mail."""
    installation, plan = await made.postgresql(), Plan(rounds=1, mails=WEIGHED, limit_mails=0, sessions=1)
    await preload(installation, template, WEIGHED)
    async with Sink() as sink:
        await drain(installation, sink.port, WEIGHED, plan)
        message: Any = email.message_from_bytes(sink.bodies[-1], policy=email.policy.default)
        wire = int(statistics.median(sink.sizes))
    await made.remove(installation)
    html, text = (message.get_body((kind,)).get_content() for kind in ("html", "plain"))
    found = Specimen(sender=message["From"], subject=message["Subject"], html=html, text=text, wire=wire)
    assert found.weights[0] >= SMALLEST_HTML, f"{template}: {found.weights[0]} octets of HTML are too few"
    assert found.weights[1] >= SMALLEST_TEXT, f"{template}: {found.weights[1]} octets of text are too few"
    return found


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
    ours = Spent(
        parent=cpu.parent,
        children=cpu.children,
        server=spent.cpu,
        written=spent.written,
        transactions=spent.transactions - peeks,
        wal=spent.wal,
        pages=spent.pages,
    )
    return Drained(mails=mails, seconds=ended - started, cost=ours)


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


def _table(template: str, plan: Plan, found: Found) -> Table:
    rates, limit = [one.per_second for one in found.rounds], sum(found.limits) / 2
    ratios = [rate / limit for rate in rates]
    cpu = "{:,.0f} / {:,.0f} / {:,.0f} µs".format(
        *(found.each(name) * 1e6 for name in ("parent", "children", "server"))
    )
    written, transactions, wal, pages = (found.each(name) for name in ("written", "transactions", "wal", "pages"))
    submitted = found.filled.wal, found.filled.variables
    command = " ".join(["notifier", *plan.command[1:]])
    results = {
        "limit": limit,
        "best": max(rates),
        "median": statistics.median(rates),
        "ratio_best": max(ratios),
        "statements": found.statements,
        "commits_of_10": written * 10,
        "wal": wal,
        "wal_both": wal + submitted[0] - submitted[1],
        "wire": found.mail.wire,
    }
    return Table(
        title=f"(b) {template}: {plan.mails:,}, `{command}`, {plan.sessions} sessions, {plan.rounds} rounds",
        figures=[
            Figure("a mail: HTML / text / on the wire", "{:,} / {:,} / {:,} octets".format(*found.mail.weights)),
            Figure(f"limit before / after: {found.limit_name}", "{:,.0f} / {:,.0f} msg/s".format(*found.limits)),
            Figure("first claim to last settle", f"{best_and_median(rates, '{:,.0f}')} msg/s", is_headline=True),
            Figure("sender ÷ limit", best_and_median(ratios, "{:.3f}"), is_headline=True),
            Figure("a mail: CPU of parent / children / server", cpu),
            Figure("a mail: statements, with BEGIN and COMMIT", f"{found.statements:.3f}"),
            Figure("10 mails: commits that wrote (transaction ids)", f"{written * 10:.2f}", is_headline=True),
            Figure("  and to submit them, 200 at once", f"{found.filled.written * 10:.2f}"),
            Figure("10 mails: transactions, those that only read too", f"{transactions * 10:.2f}"),
            Figure("a mail: WAL, full-page images in it", f"{wal:,.0f} octets, {pages:.3f}"),
            Figure("  and to submit it, of which its variables", "{:,.0f}, {:,} octets".format(*submitted)),
            Figure(
                "  both, beyond its variables", f"{wal + submitted[0] - submitted[1]:,.0f} octets", is_headline=True
            ),
        ],
        results={f"drain.{template}.{name}": value for name, value in results.items()},
    )
