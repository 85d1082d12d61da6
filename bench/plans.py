"""The size of each measurement: from the command line, or as small as possible with `--quick`."""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass

from bench.measure import (
    batch,
    console,
    console_cost,
    drain,
    growth,
    hostile,
    idle,
    isolation,
    latency,
    neighbour,
    peer_comparison,
    publish_gate,
    scale,
    search,
    submit,
)
from bench.rig.sender_run import SenderSetup
from notifier.health.capacity_model import BATCH, DELIVERED_BY

PARTS = (
    "submit",
    "drain",
    "latency",
    "idle",
    "growth",
    "search",
    "console",
    "gate",
    "hostile",
    "neighbour",
    "scale",
    "rendering",
    "isolation",
    "peers",
)
QUICK_PARTS = PARTS[:-4]  # scale is slow, rendering has no small size, isolation is a drain, peers may be missing
_MANY = 1_000_000
_MAX_PAUSE = 1.4
SCALED = {"receipt_inline": (10, 100, BATCH), "welcome": (BATCH,)}
"""The templates of scale, and the sizes of their batches."""
MAX_SCALED_MAILS = 20_000


@dataclass(frozen=True, kw_only=True)
class Plans:
    """The plan of each part."""

    submit: submit.Plan
    batch: batch.Plan
    drain: drain.Plan
    isolation: isolation.Plan
    latency: latency.Plan
    idle: idle.Plan
    growth: growth.Plan
    search: search.Plan
    console: console.Plan
    console_cost: console_cost.Plan
    gate: publish_gate.Plan
    hostile: hostile.Plan
    neighbour: neighbour.Plan
    scale: Mapping[str, scale.Plan]  # by template
    peers: peer_comparison.Plan


def build_plans(options: argparse.Namespace) -> Plans:
    """Build the plans from the command line."""
    setup = SenderSetup(sessions=options.sessions, processes=options.processes, children=options.children)
    return _quick(options, setup) if options.quick else _whole(options, setup)


def _whole(options: argparse.Namespace, setup: SenderSetup) -> Plans:
    return Plans(
        submit=submit.Plan(
            rounds=options.rounds, seconds=options.seconds, most=_MANY, warm_up=500, template=options.template
        ),
        batch=batch.Plan(rounds=options.rounds, seconds=options.seconds, most=_MANY, template=options.template),
        drain=drain.Plan(rounds=options.rounds, mails=options.mails, limit_mails=40_000, setup=setup),
        isolation=isolation.Plan(rounds=options.rounds, mails=options.mails // 3, setup=setup),
        latency=latency.Plan(mails=options.latency_mails, shortest_pause=0.9, longest_pause=_MAX_PAUSE),
        idle=idle.Plan(seconds=30.0),
        growth=growth.Plan(
            waves=2,
            mails=options.wave_mails,
            deferred=options.rows,
            finished=5 * options.rows,
            ahead=options.rows,
            trickle=1000,
            trickle_seconds=60.0,
            patience=60.0,
            setup=SenderSetup(sessions=options.sessions),
        ),
        search=search.Plan(rows=options.search_rows, requests=40),
        console=console.Plan(rows=options.search_rows, services=(8, 200), requests=100),
        console_cost=console_cost.Plan(rounds=options.rounds, mails=options.mails // 2, setup=setup),
        hostile=hostile.Plan(
            rounds=max(5, options.rounds), seconds=max(24.0, options.seconds), settling=12.0, most=_MANY
        ),
        neighbour=neighbour.Plan(seconds=max(15.0, options.seconds), most=_MANY, mails=30),
        scale={
            template: scale.Plan(
                rounds=options.rounds,
                mails=min(options.mails, MAX_SCALED_MAILS),
                batches=batches,
                processes=(1, 2, 4, 8, 16) if template == "receipt_inline" else (DELIVERED_BY,),
            )
            for template, batches in SCALED.items()
        },
        gate=publish_gate.Plan(rounds=max(5, options.rounds), templates=1000, versions=20, payloads=200),
        peers=peer_comparison.Plan(
            rounds=options.rounds,
            mails=options.peer_mails,
            our_mails=4 * options.peer_mails,
            setup=SenderSetup(sessions=options.sessions),
        ),
    )


def _quick(options: argparse.Namespace, setup: SenderSetup) -> Plans:
    return Plans(
        submit=submit.Plan(rounds=1, seconds=1.0, most=30, warm_up=5, template=options.template),
        batch=batch.Plan(rounds=1, seconds=2.0, most=1, template=options.template),
        drain=drain.Plan(rounds=1, mails=30, limit_mails=300, setup=setup),
        isolation=isolation.Plan(rounds=1, mails=30, setup=setup),
        latency=latency.Plan(mails=3, shortest_pause=0.0, longest_pause=0.05),
        idle=idle.Plan(seconds=10.0),
        growth=growth.Plan(
            waves=1,
            mails=50,
            deferred=1000,
            finished=5000,
            ahead=100,
            trickle=20,
            trickle_seconds=1.0,
            patience=20.0,
            setup=SenderSetup(sessions=options.sessions),
        ),
        search=search.Plan(rows=min(options.search_rows, 50_000), requests=1),
        console=console.Plan(rows=min(options.search_rows, 20_000), services=(8,), requests=1),
        console_cost=console_cost.Plan(rounds=1, mails=30, setup=setup),
        hostile=hostile.Plan(rounds=1, seconds=2.0, settling=0.5, most=20),
        neighbour=neighbour.Plan(seconds=1.0, most=20, mails=2, attacks=("open-routes", "unknown-keys")),
        scale={"welcome": scale.Plan(rounds=1, mails=60, batches=(BATCH,), processes=(DELIVERED_BY,))},
        gate=publish_gate.Plan(rounds=1, templates=5, versions=2, payloads=10),
        peers=peer_comparison.Plan(rounds=1, mails=100, our_mails=100, setup=SenderSetup(sessions=options.sessions)),
    )
