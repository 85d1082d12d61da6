"""The database cost of a mail, in a small run under load, independent of the machine."""

import pytest

from bench.measure.drain import fill_and_weigh
from bench.rig.installation import open_installations
from bench.rig.relay import run_relay
from bench.rig.sender_run import SenderSetup, run_drain

MAILS = 2000
DEFAULT_SETUP = SenderSetup(sessions=20, mails=1)  # the default sessions of a sender
MAX_COMMITS = 0.25  # 0.1 on a quiet host; without sharing it is more than 1
MAX_WAL = 4000


async def test_a_mail_costs_few_commits_and_little_wal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty sessions share commits, and a mail writes at most 4 kB of WAL beyond its variables."""
    # A traced or CPU-starved sender shares fewer commits, so the better of two runs counts.
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
    async with open_installations() as made, run_relay() as sink:
        filled = await fill_and_weigh(await made.postgresql(), "receipt_inline", MAILS)
        drained = [
            await run_drain(await made.copy(filled.installation), sink.port, MAILS, DEFAULT_SETUP) for _ in range(2)
        ]
    commits, wal = (min(getattr(cost.cost, name) for cost in drained) / MAILS for name in ("written", "wal"))
    assert commits <= MAX_COMMITS
    assert wal + filled.wal - filled.variables <= MAX_WAL
