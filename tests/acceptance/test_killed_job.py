"""A job run whose senders are killed with SIGKILL, between its steps and inside them."""

import asyncio
import random
import subprocess
import sys
from pathlib import Path
from uuid import UUID

import pytest
from support import counting_action, notifier_process
from support.counting_action import CountingAction
from support.job_driver import JobDriver
from support.seeded_installation import Installation

from notifier.states import JobState

TESTS = Path(__file__).parents[1]
STEPS, PER_STEP = 30, 10
KILLS = 50
SEED = 17


def _run_senders(url: str, folder: Path, run_id: UUID) -> int:
    """Run senders until the run has ended; return how many were killed."""
    command = [sys.executable, "-m", "support.counting_sender", url, str(folder), str(run_id)]
    environment = notifier_process.without_coverage(notifier_process.build_environment(folder))
    done = subprocess.run(command, cwd=TESTS, env=environment, check=False, capture_output=True, text=True, timeout=350)
    assert done.returncode == 0, done.stderr[-3000:]
    return int(done.stdout.strip().splitlines()[-1])


@pytest.mark.timeout(400)
async def test_a_run_survives_fifty_kills(installation: Installation, tmp_path: Path) -> None:
    """After 50 kills, at the boundaries of steps and inside them, each row is there once and the counts equal them."""
    places = [f"{where} {step * PER_STEP}" for step in range(STEPS) for where in ("before", "inside")]
    kills = random.Random(SEED).sample(places, KILLS)
    (tmp_path / "kills").write_text("\n".join(kills))
    async with installation.open_parts() as parts:
        await counting_action.create_table(parts.database)
        driver = JobDriver(parts.database, {CountingAction.kind: CountingAction()})
        run = await driver.create_run(options={"total": STEPS * PER_STEP})
    url = installation.settings.effective_database_url
    assert await asyncio.to_thread(_run_senders, url, tmp_path, run.id) == KILLS
    async with installation.open_parts() as parts:
        driver = JobDriver(parts.database, driver.actions)
        after = await driver.get_run(run.id)
        assert (after.state, after.error, after.counts) == (JobState.SUCCEEDED, None, {"rows": STEPS * PER_STEP})
        assert await counting_action.list_numbers(parts.database, run.id) == list(range(STEPS * PER_STEP))
        assert await driver.claim() == []
