"""The commands of docs/merge.md, beside a running demo."""

import re
from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from support import notifier_process, running_demo
from support.document_blocks import ROOT, list_blocks

from notifier.inbox.client import MailHogClient
from notifier.inbox.message_search import SearchKind

DOCUMENT = "docs/merge.md"
FILE = ROOT / "examples" / "merge.csv"


@pytest.fixture(scope="module")
def demo(demo_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with running_demo.start_demo(tmp_path_factory.mktemp("demo"), demo_data) as demo:
        yield demo


def _run(demo: dict[str, str], tmp_path: Path, *arguments: str) -> CompletedProcess[str]:
    env = notifier_process.build_environment(tmp_path, URL=demo["api"], API_KEY=demo["key"])
    return notifier_process.run_notifier("merge", *arguments, env=env, check=False)


def test_the_check_lists_and_saves_the_faults(demo: dict[str, str], tmp_path: Path) -> None:
    """The check of the example prints what the document shows, and writes the rows with faults."""
    check, shown, *_ = list_blocks(DOCUMENT)
    assert check.text.split()[:2] == ["notifier", "merge"]
    faults = tmp_path / "faults.csv"
    done = _run(demo, tmp_path, str(FILE), "--template", "welcome", "--faults", str(faults))
    assert done.returncode == 1, done.stderr
    assert shown.text.strip() in done.stdout
    assert re.search(r"row 4, E-Mail Address: .*carol@example", done.stderr)
    assert "row 5, Name: it is empty" in done.stderr
    assert faults.read_text("utf-8-sig").splitlines()[0] == "E-Mail Address,Name,Product,What is wrong"


def test_the_start_sends_the_valid_rows(demo: dict[str, str], tmp_path: Path) -> None:
    """With `--start` and `skip_invalid` the valid rows are mails, and the command succeeds."""
    options = list_blocks(DOCUMENT)[2].text.split()[3:]
    done = _run(demo, tmp_path, str(FILE), *options)
    assert done.returncode == 0, done.stderr
    assert "3 of 3 rows are submitted" in done.stdout
    with MailHogClient(demo["inbox"]) as inbox:
        assert inbox.wait_for(to="bob@example.com").subject == "Welcome to Larkspur, Bob"


def test_a_refusal_is_one_line(demo: dict[str, str], tmp_path: Path) -> None:
    """An unknown template, a file without addresses and a file that is not there are one sentence each."""
    unknown = _run(demo, tmp_path, str(FILE), "--template", "nothing")
    assert (unknown.returncode, len(unknown.stderr.splitlines())) == (2, 1), unknown.stderr
    other = tmp_path / "names.csv"
    other.write_text("Name,Product\nAda,Larkspur\n")
    headless = _run(demo, tmp_path, str(other), "--template", "welcome")
    assert (headless.returncode, len(headless.stderr.splitlines())) == (1, 1), headless.stderr
    assert "the e-mail address" in headless.stderr
    missing = _run(demo, tmp_path, str(tmp_path / "no.csv"), "--template", "welcome")
    assert (missing.returncode, len(missing.stderr.splitlines())) == (2, 1), missing.stderr


def test_the_key_must_be_of_the_named_service(demo: dict[str, str], tmp_path: Path) -> None:
    """With `--service`, the key of another service uploads nothing; that of the service checks the file."""
    other = _run(demo, tmp_path, str(FILE), "--template", "welcome", "--service", "billing")
    assert (other.returncode, other.stdout) == (2, "")
    assert other.stderr == "notifier: --service billing: the key belongs to the service demo\n"
    own = _run(demo, tmp_path, str(FILE), "--template", "welcome", "--service", "demo")
    assert "5 rows, 3 valid, 2 with faults" in own.stdout


def test_send_takes_a_file_once(demo: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dry run sends nothing; then each address gets one mail, and the same file again sends nothing."""
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "customers.csv"
    file.write_text("E-Mail,Name,Product\ncem@example.com,Cem,Larkspur\ndora@example.com,Dora,Larkspur\n")
    env = notifier_process.build_environment(tmp_path, URL=demo["api"], API_KEY=demo["key"])
    planning, sending = list_blocks(DOCUMENT)[3].text.splitlines()

    def run(line: str, *more: str) -> CompletedProcess[str]:
        return notifier_process.run_notifier(*line.split()[1:], *more, env=env, check=False)

    planned = run(planning)
    assert (planned.returncode, planned.stdout) == (0, "2 rows\n2 mails would be sent. Nothing was sent.\n")
    asked = run(sending.removesuffix(" --yes"))
    assert (asked.returncode, asked.stderr.count("\n")) == (2, 1)
    assert "nobody can confirm it: give --yes" in asked.stderr
    with MailHogClient(demo["inbox"]) as inbox:
        assert run(sending, "--wait", "100").stdout == "2 rows\n2 sent, 0 failed, 0 waiting\n"
        again = run(sending, "--wait", "100")
        assert (again.returncode, "This file was sent already" in again.stdout) == (0, True)
        assert again.stdout.endswith("\n2 sent, 0 failed, 0 waiting\n")
        assert [len(inbox.search(SearchKind.TO, f"{name}@example.com")) for name in ("cem", "dora")] == [1, 1]
    file.write_text("Who,Name,Product\neve@example.com,,Larkspur\n")
    refused = run(sending, "--to-column", "Who")
    assert refused.returncode == 1
    assert refused.stderr.splitlines()[0] == "row 2, Name: it is empty, and the template needs a value"
    assert "1 of 1 rows have faults, and nothing was sent" in refused.stderr
    for words in (("--to", "ada@example.com"), ("--var", "name=Ada")):
        assert run(sending, *words).returncode == 2
