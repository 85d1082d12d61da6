"""(h) The cost of rendering in child processes: the same drain with and without them, in turns."""

import statistics
from dataclasses import dataclass, replace

from bench.measure.drain import fill_and_weigh
from bench.rig.installation import Installations
from bench.rig.relay import Relay
from bench.rig.result_table import Figure, Table
from bench.rig.sender_run import DrainResult, SenderSetup, run_drain


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much to do."""

    rounds: int
    mails: int  # in each drain
    setup: SenderSetup


async def measure(made: Installations, relay: Relay, template: str, plan: Plan) -> Table:
    """Fill a queue once, and drain copies of it with both senders, `rounds` times."""
    filled = await fill_and_weigh(await made.postgresql(), template, plan.mails)
    ways = {"apart": plan.setup, "together": replace(plan.setup, in_process=True)}
    results: dict[str, list[DrainResult]] = {way: [] for way in ways}
    for _ in range(plan.rounds):
        for way, setup in ways.items():
            installation = await made.copy(filled.installation)
            results[way].append(await run_drain(installation, relay.port, plan.mails, setup))
            await made.remove(installation)
    await made.remove(filled.installation)
    apart, together = ([drained.per_second for drained in results[way]] for way in ways)
    shares = [ours / other for ours, other in zip(apart, together, strict=True)]
    return Table(
        title=f"(h) isolation, {template}: {plan.mails:,} mails, {plan.rounds} rounds",
        figures=[
            Figure("rendered in children", f"{statistics.median(apart):,.0f} msg/s"),
            Figure("rendered in the sender's process", f"{statistics.median(together):,.0f} msg/s"),
            Figure("in children ÷ in process", f"{statistics.median(shares):.2f}", is_headline=True),
        ],
        results={f"isolation.{template}": statistics.median(shares)},
    )
