"""Documents match the code: settings, state machines, links, and the first screen of the README."""

import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from notifier.job_states import JOB_TRANSITIONS
from notifier.lookup.answer_table import ANSWER_ROWS, LABELS, TEST_MAIL
from notifier.settings import Settings
from notifier.states import (
    ENTRY_TRANSITIONS,
    NOTIFICATION_TRANSITIONS,
    STATUS_RANK,
    WAITING_STATUSES,
    Reason,
    Status,
    TransitionCause,
    get_source_statuses,
)

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("clients/*/*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "bench").glob("*.md")]
)
_LINK = re.compile(r"\[[^\]]*\](?:\(|: )([^)\s]+)")
_ROW = re.compile(r"^\| `(NOTIFIER_\w+)` \| (?:`([^`]*)`)? *\| (.+) \|$", re.MULTILINE)


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _settings(model: type[BaseModel], prefix: str = "NOTIFIER_") -> dict[str, tuple[str, str]]:
    """Each variable of a group of settings, with its default and description."""
    variables: dict[str, tuple[str, str]] = {}
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            variables |= _settings(kind, f"{prefix}{name.upper()}__")
            continue
        default = field.default
        text = ",".join(map(str, default)) if isinstance(default, tuple) else str(getattr(default, "value", default))
        text = "" if default is None else text
        variables[str(field.validation_alias or prefix + name.upper())] = (text, str(field.description))
    return variables


def test_every_setting_is_documented() -> None:
    """The table in docs/operations.md has every setting of the code, with its default."""
    table = (ROOT / "docs" / "operations.md").read_text()
    documented = {name: (default, meaning) for name, default, meaning in _ROW.findall(table)}
    assert documented == _settings(Settings)


def _parse_arrows(diagram: str) -> set[tuple[str, ...]]:
    return {tuple(part.strip() for part in re.split(r"-->|: ", line, maxsplit=2)) for line in diagram.splitlines()}


def test_the_diagrams_are_the_machines() -> None:
    """docs/states.md draws exactly the transitions of the code, with those who may cause them."""
    text = (ROOT / "docs" / "states.md").read_text()
    entry, notification, job = re.findall(r"```mermaid\nstateDiagram-v2\n(.*?)```", text, re.DOTALL)
    drawn = _parse_arrows(entry)
    declared = {(source.value, target.value if target else "[*]", why) for source, target, why in ENTRY_TRANSITIONS}
    assert drawn == declared | {("[*]", "ready", "enqueue")}
    begin = ("[*]", "queued", "a request, a schedule, or a run by hand")
    assert _parse_arrows(job) == {(source.value, to.value, why) for source, to, why in JOB_TRANSITIONS} | {begin}
    causes: dict[tuple[str, str], list[str]] = {}
    for step in NOTIFICATION_TRANSITIONS:
        causes.setdefault((step.source.value, step.target.value), []).append(step.cause.value)
    lines = [line.strip() for line in notification.splitlines() if not line.strip().startswith("[*]")]
    assert sorted(lines) == sorted(f"{s} --> {t} : {', '.join(by)}" for (s, t), by in causes.items())
    for step in NOTIFICATION_TRANSITIONS:
        if step.reason:
            assert f"{step.source.value} → {step.target.value}" in text
            assert step.reason in text


def _print_answers() -> list[str]:
    rows = [
        (f"`{status}`", f"`{what}`" if isinstance(what, Reason) else str(what or ""), answer)
        for (status, what), answer in ANSWER_ROWS.items()
    ]
    rows.append(("any, after its end", "of a test key", TEST_MAIL))
    return [
        f"| {status} | {what} | {LABELS[answer.kind]} | {answer.sentence} | {answer.next_step} |"
        for status, what, answer in rows
    ]


def test_the_answers_in_the_document_are_those_of_the_code() -> None:
    """The table of answers in docs/states.md is that of the code, and no status is without one."""
    text = (ROOT / "docs" / "states.md").read_text()
    table = text.split("| status | reason or wait | answer |")[1].split("\n\n")[0]
    assert table.splitlines()[2:] == _print_answers(), "\n".join(_print_answers())
    assert {status for status, _ in ANSWER_ROWS} == set(Status)


def test_every_status_is_reachable_and_machines_never_lower() -> None:
    """Every status is reachable from `queued` or a submit; the sender and feedback never lower the rank."""
    reached = {Status.QUEUED, Status.SUPPRESSED}
    for _ in Status:
        reached |= {step.target for step in NOTIFICATION_TRANSITIONS if step.source in reached}
    assert reached == set(Status) == set(STATUS_RANK)
    for step in NOTIFICATION_TRANSITIONS:
        if step.cause in (TransitionCause.SENDER, TransitionCause.FEEDBACK):
            assert STATUS_RANK[step.target] >= STATUS_RANK[step.source], step


def test_an_end_is_left_only_by_proof_a_person_or_feedback() -> None:
    """A deferral, a refusal or a lost reply does not move a notification that has ended."""
    for target in (Status.DEFERRED, Status.FAILED, Status.UNKNOWN, Status.EXPIRED, Status.SUPPRESSED):
        assert get_source_statuses(target, TransitionCause.SENDER) <= WAITING_STATUSES


@pytest.mark.parametrize("path", DOCUMENTS, ids=_name)
def test_links_resolve(path: Path) -> None:
    """Every relative link leads to a file, and every anchor to one of its headings."""
    for link in _LINK.findall(path.read_text()):
        if link.startswith(("http://", "https://", "mailto:")):
            continue
        target, _, anchor = link.partition("#")
        file = (path.parent / target).resolve() if target else path
        assert file.exists(), link
        if anchor:
            headings = re.findall(r"^#+ (.+)$", file.read_text(), re.MULTILINE)
            assert anchor in {re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_trip_names_every_room_on_the_way() -> None:
    """docs/trip.md links the orchestrators and each of their steps."""
    text = (ROOT / "docs" / "trip.md").read_text()
    files = (
        "submission/request_validation",
        "submission/notification_writer",
        "delivery/email_handler",
        "delivery/delivery_loader",
        "delivery/settlement_decision",
        "status/status_writer",
    )
    for file in files:
        assert f"../notifier/{file}.py" in text


def test_the_first_screen_of_the_readme() -> None:
    """The README reaches the list of entry points within 45 lines, in the order that a new reader needs."""
    screen = (ROOT / "README.md").read_text().split("\n## ", 1)[0].splitlines()
    assert len([line for line in screen if not line.startswith("<!--")]) <= 45
    text = "\n".join(screen)
    marks = (
        "docs/inbox.png",
        "make demo",
        "202 Accepted",
        '"sent"',
        "notifier init",
        "at-least-once",
        "It is not",
        "docs/",
    )
    places = [text.find(mark) for mark in marks]
    assert -1 not in places
    assert places[:-1] == sorted(places[:-1])
