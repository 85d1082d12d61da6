"""(f) Notifier beside django-post_office and Celery with Redis, with the same mail, relay and PostgreSQL.

The peers in `bench/peers/` run in their own environment, made from `requirements-bench.lock`.
"""

import asyncio
import hashlib
import json
import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from sqlalchemy import make_url

from bench.rig.child_process import ROOT, ChildFailedError, run_child
from bench.rig.installation import Installation, Installations
from bench.rig.queue_filler import build_variables, fill_queue
from bench.rig.relay import Relay
from bench.rig.result_table import Figure, Table, format_best_and_median
from bench.rig.sample_mail import SampleMail, send_sample
from bench.rig.sender_run import SenderSetup, run_drain

TEMPLATE = "receipt_inline"
LOCK = ROOT / "requirements-bench.lock"
INSTALL_SECONDS = 300.0
PEER_SECONDS = 180.0
REDIS = ("127.0.0.1", 6379)
REDIS_DATABASE = 9
OURS = "notifier"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much to do."""

    rounds: int
    mails: int  # of each peer in each round
    our_mails: int
    setup: SenderSetup


@dataclass(frozen=True, kw_only=True)
class Peer:
    """A system that Notifier is compared with."""

    name: str
    command: tuple[str, ...]
    kind: str | None = None  # of its filled database; None: its queue is in Redis


POST_OFFICE = (
    Peer(name="post_office, ready bodies, 1 process", command=("post_office", "drain", "1"), kind="ready"),
    Peer(name="post_office, ready bodies, 2 processes", command=("post_office", "drain", "2"), kind="ready"),
    Peer(name="post_office, its own rendering, 2 processes", command=("post_office", "drain", "2"), kind="rendered"),
)
CELERY = Peer(name="Celery, Jinja2 and smtplib, 2 processes", command=("celery_mail", "drain", "2"))


async def measure(made: Installations, relay: Relay, plan: Plan) -> Table:
    """Measure all systems in turns, so that a busy moment of the machine affects all of them."""
    title = f"(f) {TEMPLATE}: {plan.our_mails:,} ours, {plan.mails:,} of each peer, {plan.rounds} rounds in turns"
    try:
        python = await prepare_environment()
    except ChildFailedError as error:
        return Table(title=title, figures=[Figure("left out: the peers cannot be installed", str(error)[-200:])])
    with tempfile.TemporaryDirectory(prefix="notifier-bench-peers-") as folder:
        mail = await send_sample(made, TEMPLATE)
        bench = _Bench(made=made, relay=relay, plan=plan, python=python, mail_file=_write(mail, Path(folder)))
        rates = await bench.rounds(with_redis=await is_redis_running())
    return _table(title, mail, rates)


async def prepare_environment() -> str:
    """Return the Python of the peers' environment, and make it if missing. Raises `ChildFailedError`."""
    digest = hashlib.sha256(LOCK.read_bytes()).hexdigest()[:12]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "notifier-bench"
    folder = cache / f"peers-{digest}-{sys.version_info.major}.{sys.version_info.minor}"
    python, whole = folder / "bin" / "python", folder / "whole"
    if not whole.is_file():
        shutil.rmtree(folder, ignore_errors=True)
        await _run([sys.executable, "-m", "venv", str(folder)])
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        await _run([*pip, "--require-hashes", "-r", str(LOCK)])
        whole.touch()
    return str(python)


async def is_redis_running() -> bool:
    """Return True if a Redis answers at the peers' address."""
    try:
        async with asyncio.timeout(1):
            reader, writer = await asyncio.open_connection(*REDIS)
            writer.write(b"PING\r\n")
            answer = await reader.readline()
            writer.close()
    except (OSError, TimeoutError):
        return False
    return answer == b"+PONG\r\n"


@dataclass(frozen=True, kw_only=True)
class _Bench:
    """The parts that all rounds need."""

    made: Installations
    relay: Relay
    plan: Plan
    python: str
    mail_file: Path  # the mail that the peers send

    async def rounds(self, *, with_redis: bool) -> dict[str, list[float]]:
        """Mails per second of each, round by round."""
        mine = await self.made.postgresql()
        await fill_queue(mine, TEMPLATE, self.plan.our_mails)
        filled = {kind: await self._filled(kind) for kind in ("ready", "rendered")}
        peers = [*POST_OFFICE, *([CELERY] if with_redis else [])]
        rates: dict[str, list[float]] = {OURS: [], **{peer.name: [] for peer in peers}}
        try:
            for _ in range(self.plan.rounds):
                rates[OURS].append(await self._ours(mine))
                for peer in peers:
                    rates[peer.name].append(await self._theirs(peer, filled))
        finally:
            if with_redis:
                await self._run("celery_mail", "clean")
        return rates

    async def _ours(self, filled: Installation) -> float:
        installation = await self.made.copy(filled)
        drained = await run_drain(installation, self.relay.port, self.plan.our_mails, self.plan.setup)
        await self.made.remove(installation)
        return drained.per_second

    async def _theirs(self, peer: Peer, filled: Mapping[str, Installation]) -> float:
        """Run one turn of a peer; every mail must have been sent."""
        installation = None
        if peer.kind is None:
            await self._run("celery_mail", "fill", str(self.plan.mails))
        else:
            installation = await self.made.copy(filled[peer.kind])
        report = json.loads(await self._run(*peer.command, installation=installation))
        if installation is not None:
            await self.made.remove(installation)
        if report["sent"] != self.plan.mails:
            raise AssertionError(f"{peer.name}: {self.plan.mails} mails were queued, and {report['sent']} are sent")
        return float(report["sent"] / report["seconds"])

    async def _filled(self, kind: str) -> Installation:
        """Create a database of django-post_office with a full queue."""
        installation = await self.made.empty()
        await self._run("post_office", "fill", kind, str(self.plan.mails), installation=installation)
        return installation

    async def _run(self, script: str, *words: str, installation: Installation | None = None) -> str:
        """Run a peer to its end, and return its last line."""
        host, port = REDIS
        settings = {
            "PEER_MAIL": str(self.mail_file),
            "PEER_SMTP_PORT": str(self.relay.port),
            "PEER_REDIS_URL": f"redis://{host}:{port}/{REDIS_DATABASE}",
        }
        if installation is not None:
            settings |= _database(installation.url)
        return await _run([self.python, "-m", f"bench.peers.{script}", *words], settings)


def _write(mail: SampleMail, folder: Path) -> Path:
    """Write the mail to a file for the peers."""
    own = {name: value for name, value in asdict(mail).items() if name != "wire"}
    file = folder / "mail.json"
    file.write_text(json.dumps(own | {"template": TEMPLATE, "variables": build_variables(TEMPLATE, 0)}))
    return file


def _database(url: str) -> dict[str, str]:
    """Split a PostgreSQL URL into Django's settings."""
    parsed = make_url(url)
    host = parsed.query.get("host", parsed.host or "")
    return {
        "PEER_DATABASE": parsed.database or "",
        "PEER_HOST": host if isinstance(host, str) else host[0],
        "PEER_PORT": str(parsed.port or ""),
        "PEER_USER": parsed.username or "",
        "PEER_PASSWORD": str(parsed.password or ""),
    }


async def _run(command: list[str], settings: Mapping[str, str] | None = None) -> str:
    """Run a program and return its last line. Raises `ChildFailedError` if it fails."""
    async with run_child(command, settings or {}) as child:
        lines = await child.lines(seconds=INSTALL_SECONDS)
        await child.finished(seconds=PEER_SECONDS)
    return lines[-1] if lines else ""


def _table(title: str, mail: SampleMail, rates: Mapping[str, list[float]]) -> Table:
    ours = rates[OURS]
    figures = [
        Figure("a mail: HTML / text / on the wire", "{:,} / {:,} / {:,} octets".format(*mail.weights)),
        *(Figure(name, f"{format_best_and_median(values, '{:,.0f}')} msg/s") for name, values in rates.items()),
    ]
    for name, values in rates.items():
        if name != OURS:
            ratio = statistics.median(ours) / statistics.median(values)
            figures.append(Figure(f"ours ÷ {name}", f"{ratio:.1f}", is_headline=True))
    ready = max(statistics.median(rates[peer.name]) for peer in POST_OFFICE if peer.kind == "ready")
    best = max(max(rates[peer.name]) for peer in POST_OFFICE if peer.kind == "ready")
    ratios = f"{max(ours) / best:.1f}, median {statistics.median(ours) / ready:.1f}"
    figures.append(Figure("ours ÷ post_office, ready bodies, best of 1 and 2: best of each", ratios, is_headline=True))
    if CELERY.name not in rates:
        figures.append(Figure("Celery left out", "no Redis at {}:{}".format(*REDIS)))
    results = {f"peers.{name}.{which}": value for name, values in rates.items() for which, value in _both(values)}
    return Table(title=title, figures=figures, results=results)


def _both(rates: list[float]) -> tuple[tuple[str, float], tuple[str, float]]:
    return ("best", max(rates)), ("median", statistics.median(rates))
