"""How much of each part: what the command line asks for, or as little as shows that everything works."""

import argparse
from dataclasses import dataclass

from bench.measure import (
    batch,
    drain,
    growth,
    hostile,
    idle,
    isolation,
    latency,
    neighbour,
    peer_comparison,
    publish_gate,
    search,
    submit,
)
from bench.rig.sender_run import SenderSetup

PARTS = (
    "submit",
    "drain",
    "latency",
    "idle",
    "growth",
    "search",
    "gate",
    "hostile",
    "neighbour",
    "rendering",
    "isolation",
    "peers",
)
QUICK_PARTS = PARTS[:-3]  # rendering knows no tiny counts, isolation is a drain, the peers may have to be installed
_MANY = 1_000_000
_LONGEST_PAUSE = 1.4


@dataclass(frozen=True, kw_only=True)
class Plans:
    """How much of each."""

    submit: submit.Plan
    batch: batch.Plan
    drain: drain.Plan
    isolation: isolation.Plan
    latency: latency.Plan
    idle: idle.Plan
    growth: growth.Plan
    search: search.Plan
    gate: publish_gate.Plan
    hostile: hostile.Plan
    neighbour: neighbour.Plan
    peers: peer_comparison.Plan


def build_plans(given: argparse.Namespace) -> Plans:
    """What the command line asks for; `--quick` shows that everything works and measures nothing."""
    setup = SenderSetup(sessions=given.sessions, processes=given.processes, children=given.children)
    return _quick(given, setup) if given.quick else _whole(given, setup)


def _whole(given: argparse.Namespace, setup: SenderSetup) -> Plans:
    return Plans(
        submit=submit.Plan(
            rounds=given.rounds, seconds=given.seconds, most=_MANY, warm_up=500, template=given.template
        ),
        batch=batch.Plan(rounds=given.rounds, seconds=given.seconds, most=_MANY, template=given.template),
        drain=drain.Plan(rounds=given.rounds, mails=given.mails, limit_mails=40_000, setup=setup),
        isolation=isolation.Plan(rounds=given.rounds, mails=given.mails // 3, setup=setup),
        latency=latency.Plan(mails=given.latency_mails, shortest_pause=0.9, longest_pause=_LONGEST_PAUSE),
        idle=idle.Plan(seconds=30.0),
        growth=growth.Plan(
            waves=2,
            mails=given.wave_mails,
            deferred=given.rows,
            finished=5 * given.rows,
            ahead=given.rows,
            trickle=1000,
            trickle_seconds=60.0,
            patience=60.0,
            setup=SenderSetup(sessions=given.sessions),
        ),
        search=search.Plan(rows=given.search_rows, requests=40),
        hostile=hostile.Plan(rounds=max(5, given.rounds), seconds=max(24.0, given.seconds), settling=12.0, most=_MANY),
        neighbour=neighbour.Plan(seconds=max(15.0, given.seconds), most=_MANY, mails=30),
        gate=publish_gate.Plan(rounds=max(5, given.rounds), templates=1000, versions=20, payloads=200),
        peers=peer_comparison.Plan(
            rounds=given.rounds,
            mails=given.peer_mails,
            our_mails=4 * given.peer_mails,
            setup=SenderSetup(sessions=given.sessions),
        ),
    )


def _quick(given: argparse.Namespace, setup: SenderSetup) -> Plans:
    return Plans(
        submit=submit.Plan(rounds=1, seconds=1.0, most=30, warm_up=5, template=given.template),
        batch=batch.Plan(rounds=1, seconds=2.0, most=1, template=given.template),
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
            setup=SenderSetup(sessions=given.sessions),
        ),
        search=search.Plan(rows=min(given.search_rows, 50_000), requests=1),
        hostile=hostile.Plan(rounds=1, seconds=2.0, settling=0.5, most=20),
        neighbour=neighbour.Plan(seconds=1.0, most=20, mails=2, attacks=("open-routes", "unknown-keys")),
        gate=publish_gate.Plan(rounds=1, templates=5, versions=2, payloads=10),
        peers=peer_comparison.Plan(rounds=1, mails=100, our_mails=100, setup=SenderSetup(sessions=given.sessions)),
    )
