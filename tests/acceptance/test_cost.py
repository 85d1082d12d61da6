"""What a mail costs the database, on a small run at load; it does not depend on the machine."""

import pytest

from bench.measure.drain import fill_and_weigh
from bench.rig.installation import open_installations
from bench.rig.relay import run_relay
from bench.rig.sender_run import SenderSetup, run_drain

MAILS = 2000
TWENTY = SenderSetup(sessions=20, mails=1)  # as a sender is set up by default
MAX_COMMITS = 0.11
MAX_WAL = 4000


async def test_a_mail_costs_few_commits_and_little_wal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty sessions share commits; submitting and sending write at most 4 kB of WAL beyond the mail's variables."""
    # A sender that is traced or that waits for a core has less to share: the better of two counts.
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
    async with open_installations() as made, run_relay() as sink:
        filled = await fill_and_weigh(await made.postgresql(), "receipt_inline", MAILS)
        drained = [await run_drain(await made.copy(filled.installation), sink.port, MAILS, TWENTY) for _ in range(2)]
    commits, wal = (min(getattr(cost.cost, name) for cost in drained) / MAILS for name in ("written", "wal"))
    assert commits <= MAX_COMMITS
    assert wal + filled.wal - filled.variables <= MAX_WAL
