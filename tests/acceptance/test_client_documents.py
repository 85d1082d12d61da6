"""The client in the documents on merges, schedules, jobs and statistics, beside a running demo."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support import running_demo
from support.document_blocks import ROOT, list_blocks, run_python_block

from notifier.client import Notifier
from notifier.inbox.client import MailHogClient

WAIT_SECONDS = 100.0


@pytest.fixture(scope="module")
def demo(demo_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A running demo: its addresses and its key."""
    with running_demo.start_demo(tmp_path_factory.mktemp("demo"), demo_data) as demo:
        yield demo


@pytest.fixture(autouse=True)
def _environment(demo: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The directory and the variables of a reader."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("NOTIFIER_URL", demo["api"])
    monkeypatch.setenv("NOTIFIER_API_KEY", demo["key"])


def _run_example(document: str) -> list[str]:
    """Run the client's example of a document unchanged; return the lines that it prints."""
    file = str(Path(__file__).relative_to(ROOT))
    (block,) = (block for block in list_blocks(document, "python") if block.rest == file)
    return run_python_block(block)[0].splitlines()


def test_a_file_becomes_mails(demo: dict[str, str]) -> None:
    """The example of a merge prints the rows with faults, and the others are mails in the inbox."""
    lines = _run_example("docs/merge.md")
    assert "succeeded 100" in lines
    assert [line.split()[:2] for line in lines[-2:]] == [["4", "E-Mail"], ["5", "Name"]]
    with Notifier() as notifier, MailHogClient(demo["inbox"]) as inbox:
        for name in ("ada", "bob", "erin"):
            mail = inbox.wait_for(to=f"{name}@example.com", timeout=WAIT_SECONDS)
            assert mail.subject == f"Welcome to Larkspur, {name.title()}"
        (summary,) = notifier.merges.list()
        merge = notifier.merges.get(summary.id)
        assert merge.job_id is not None
        assert [job.state for job in notifier.jobs.watch(merge.job_id)][-1] == "succeeded"
        merge = notifier.merges.get(merge.id)
        assert merge.submitted is not None
        assert (merge.state, merge.submitted.written, merge.submitted.left_out) == ("finished", 3, 2)
        assert {item.metadata["merge_row"] for item in notifier.list(batch_id=merge.id)} == {"2", "3", "6"}


def test_a_schedule_is_run_by_hand(demo: dict[str, str]) -> None:
    """The example of a schedule prints its times and follows its run, whose report is in the inbox."""
    first, *changes = _run_example("docs/schedules.md")
    assert len(first.split("+00:00")) == 4
    assert changes[-1] == "succeeded 100"
    with Notifier() as notifier, MailHogClient(demo["inbox"]) as inbox:
        assert inbox.wait_for(to="ops@example.com", timeout=WAIT_SECONDS).subject
        again = notifier.schedules.run("daily-report", idempotency_key="before-the-release")
        assert (again.replayed, again.state, again.schedule) == (True, "succeeded", "daily-report")


def test_failed_jobs_are_retried() -> None:
    """The example of jobs retries a failed fetch, and follows it until it has failed again."""
    with Notifier() as notifier:
        notifier.feeds.save("prices", url="https://shop.example/prices.json", timeout_seconds=1)
        job = notifier.feeds.fetch("prices")
        assert [change.state for change in notifier.jobs.watch(job.id)][-1] == "failed"
    first, *changes = _run_example("docs/jobs.md")
    assert first.startswith(f"{job.id} ")
    assert changes[-1].startswith("failed ")


def test_mail_is_counted() -> None:
    """The example of figures prints three of them."""
    (line,) = _run_example("docs/statistics.md")
    assert len(line.split()) == 3
