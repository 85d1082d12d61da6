"""(b) Messages per second of one sender process that finds a full queue, beside what the sink takes at most."""

import asyncio
import statistics
import time
from dataclasses import dataclass
from itertools import islice
from resource import RUSAGE_CHILDREN, getrusage

from bench.installation import Installation, Installations, sample
from bench.process import NOTIFIER, running
from bench.relay import Relay
from bench.sink import Sink
from bench.table import Figure, Table, median_and_range
from notifier import wiring
from notifier.api import schema
from notifier.settings import Settings, SmtpSettings

TEMPLATE = "order_shipped"
LOADERS = 64
LONGEST_DRAIN = 600.0
TRIAL_MAILS = 20


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much to do."""

    rounds: int
    mails: int  # in each round
    limit_mails: int  # for each measurement of the limit
    size: int | None = None  # octets of a mail of the limit; None: weigh some first


@dataclass(frozen=True, kw_only=True)
class Drained:
    """One round."""

    per_second: float
    cpu_each: float  # seconds of the sender process, without its rendering child


async def measure(made: Installations, relay: Relay, plan: Plan) -> Table:
    """The limit, the rounds, and the limit again."""
    size = plan.size or await _median_size(await made.postgresql())
    before = await relay.limit(size=size, count=plan.limit_mails)
    rounds = []
    for _ in range(plan.rounds):
        installation = await made.postgresql()
        await preload(installation, plan.mails)
        rounds.append(await drain(installation, relay.port, plan.mails))
    after = await relay.limit(size=size, count=plan.limit_mails)
    rates, limit = [one.per_second for one in rounds], (before + after) / 2
    cpu = statistics.median(one.cpu_each for one in rounds) * 1e6
    return Table(
        title=f"(b) one `notifier sender --drain`, postgresql: {plan.mails:,} {TEMPLATE}, {plan.rounds} rounds",
        figures=[
            Figure("median size on the wire", f"{size:,} octets"),
            Figure(f"limit before / after: {relay.limit_name}", f"{before:,.0f} / {after:,.0f} msg/s"),
            Figure("sender", f"{median_and_range(rates, '{:,.0f}')} msg/s"),
            Figure("  its CPU each, without its rendering child", f"{cpu:,.0f} µs"),
            Figure("sender ÷ limit", median_and_range([rate / limit for rate in rates], "{:.3f}"), is_ratio=True),
        ],
    )


async def preload(installation: Installation, mails: int) -> None:
    """Submit through the API's own parts (checks, writer, shared commit), without HTTP in between."""
    settings = Settings(database_url=installation.url, smtp=SmtpSettings(port=1))
    variables = sample(TEMPLATE)
    async with wiring.base(settings) as parts:
        doors = wiring.api(parts).state.doors
        caller = await doors.authenticator.caller_of(f"Bearer {installation.key}")
        numbers = iter(range(mails))

        async def submit_the_rest() -> None:
            for number in numbers:
                body = {"to": f"user{number:08}@example.com", "template": TEMPLATE, "variables": variables}
                wanted, faults = schema.parse(body)
                await doors.submitter.submit(caller, wanted, None, faults=faults)

        await asyncio.gather(*(submit_the_rest() for _ in islice(range(LOADERS), mails)))


async def drain(installation: Installation, port: int, mails: int) -> Drained:
    """One sender process from its first claim to its end; every mail must be `sent` afterwards."""
    cpu = _cpu_of_children()
    async with running([NOTIFIER, "sender", "--drain"], installation.settings(smtp_port=port)) as sender:
        await sender.line()
        started, cpu_at_start = time.perf_counter(), sender.cpu_seconds()
        await sender.finished(seconds=LONGEST_DRAIN)
        seconds = time.perf_counter() - started
    sent = await installation.count("sent")
    if sent != mails:
        raise AssertionError(f"{mails} mails were queued, and {sent} are sent")
    return Drained(per_second=mails / seconds, cpu_each=(_cpu_of_children() - cpu - cpu_at_start) / mails)


async def _median_size(installation: Installation) -> int:
    """What a mail weighs: a few are sent to a sink that looks at them."""
    await preload(installation, TRIAL_MAILS)
    async with Sink() as sink:
        await drain(installation, sink.port, TRIAL_MAILS)
        return int(statistics.median(sink.sizes))


def _cpu_of_children() -> float:
    used = getrusage(RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
