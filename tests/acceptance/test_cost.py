"""What a mail costs the database, on a small run at load; it does not depend on the machine."""

import pytest

from bench.drain import fill
from bench.installation import installations
from bench.relay import relay
from bench.sender import Setup, drain

MAILS = 2000
TWENTY = Setup(sessions=20, mails=1)  # as a sender is set up by default
MOST_COMMITS = 0.11
MOST_WAL = 4000


async def test_a_mail_costs_few_commits_and_little_wal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty sessions share commits; submitting and sending write at most 4 kB of WAL beyond the mail's variables."""
    # A sender that is traced or that waits for a core has less to share: the better of two counts.
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
    async with installations() as made, relay() as sink:
        filled = await fill(await made.postgresql(), "receipt_inline", MAILS)
        drained = [await drain(await made.copy(filled.installation), sink.port, MAILS, TWENTY) for _ in range(2)]
    commits, wal = (min(getattr(one.cost, name) for one in drained) / MAILS for name in ("written", "wal"))
    assert commits <= MOST_COMMITS
    assert wal + filled.wal - filled.variables <= MOST_WAL
