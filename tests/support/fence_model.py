"""A model of the fence protocol: one mail, two processes, and all their interleavings.

Each step is atomic, like its transaction or system call. A stopped process takes no step while others
do.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import NamedTuple


@dataclass(frozen=True, kw_only=True)
class Rules:
    """The rules of the protocol; a test switches one off and expects a broken promise."""

    claim_takes_ready_only: bool = True  # rule 1
    body_needs_mark: bool = True  # rule 2, and so all up to `first_byte_in_time`
    mark_needs_fence: bool = True
    mark_needs_wanted_mail: bool = True
    first_byte_in_time: bool = True
    rescue_calls_marked_unknown: bool = True  # rule 3
    settle_needs_fence: bool = True  # rule 4
    settle_counts_after_rescue: bool = True
    proof_counts_without_fence: bool = True  # rule 5
    journal_is_replayed: bool = True
    cancel_spares_marked: bool = True  # rule 6
    cancel_spares_unknown: bool = True
    new_entry_is_new: bool = True  # rule 7


class Entry(NamedTuple):
    """The outbox entry; `number` is its id."""

    number: int = 0
    state: str = "ready"  # ready, leased, held, gone
    lease_no: int = 0
    by: int | None = None
    marked: bool = False


class Process(NamedTuple):
    """The state of a claim in one process."""

    stage: str = "idle"  # idle, claimed, marked, writing, taken, heard, refused, unsure
    number: int = 0
    lease_no: int = 0
    in_time: bool = False  # the first byte may still be written
    uncertain_before: bool = False

    @property
    def fence(self) -> tuple[int, int]:
        return self.number, self.lease_no


class State(NamedTuple):
    """The whole state: the database, the processes, what the relay accepted, and the faults that may still come."""

    entry: Entry = Entry()
    status: str = "queued"
    was_unknown: bool = False
    processes: tuple[Process, Process] = (Process(), Process())
    left: frozenset[tuple[int, int, bool]] = frozenset()  # journals of the dead: fence, and uncertain before
    recorded: frozenset[tuple[int, int]] = frozenset()  # claims whose final result is in the database
    taken: int = 0  # bodies that the relay accepted
    proven: bool = False  # a 250 was read and settled
    kills: int = 2
    again: int = 1  # retries and resolves by a person


WAITING = ("queued", "deferred", "unknown")
MAYBE_TAKEN = ("writing", "taken", "heard", "unsure")
Step = tuple[str, State, str | None]  # its name, the next state, and the promise that it breaks


def steps(state: State, rules: Rules) -> Iterator[Step]:
    """All possible next states."""
    for which in (0, 1):
        yield from _claim(state, rules, which)
        yield from _mark(state, rules, which)
        yield from _body(state, rules, which)
        yield from _relay(state, which)
        yield from _settle(state, rules, which)
        if state.kills and state.processes[which].stage != "idle":
            yield _kill(state, rules, which)
    yield from _rescue(state, rules)
    yield from _replay(state, rules)
    yield from _people(state, rules)


def rule_names() -> list[str]:
    """The names of all rules."""
    return [field.name for field in fields(Rules)]


def broken_promise(state: State) -> str | None:
    if state.entry.state == "gone" and state.status in ("queued", "deferred"):
        return "lost: nothing is left to send it"
    if state.status == "cancelled" and state.taken and not state.was_unknown:
        return "cancelled, and sent"
    return None


def _with(state: State, which: int, process: Process) -> State:
    processes = list(state.processes)
    processes[which] = process
    return state._replace(processes=(processes[0], processes[1]))


def _claim(state: State, rules: Rules, which: int) -> Iterator[Step]:
    entry, process = state.entry, state.processes[which]
    claimable = ("ready",) if rules.claim_takes_ready_only else ("ready", "leased")
    if process.stage == "idle" and entry.state in claimable and entry.lease_no < 3:
        leased = Entry(entry.number, "leased", entry.lease_no + 1, which, marked=False)
        if state.status not in WAITING:  # loaded, found ended, settled
            yield f"{which} finds it ended", state._replace(entry=leased._replace(state="gone")), None
            return
        claimed = Process("claimed", entry.number, leased.lease_no, uncertain_before=state.was_unknown)
        yield f"{which} claims", _with(state._replace(entry=leased), which, claimed), None


def _holds(entry: Entry, process: Process) -> bool:
    return (entry.number, entry.lease_no) == process.fence and entry.state != "gone"


def _mark(state: State, rules: Rules, which: int) -> Iterator[Step]:
    entry, process = state.entry, state.processes[which]
    if process.stage != "claimed":
        return
    yield f"{which} gives back", _put_back(state, rules, which, "ready", state.status), None
    if not rules.body_needs_mark:
        yield f"{which} goes without a mark", _with(state, which, process._replace(stage="marked", in_time=True)), None
        return
    mine = _holds(entry, process) and entry.state == "leased" and entry.by == which
    is_wanted = state.status in WAITING
    if (mine or not rules.mark_needs_fence) and (is_wanted or not rules.mark_needs_wanted_mail):
        marked = entry._replace(marked=True) if entry.state == "leased" else entry
        then = _with(state._replace(entry=marked), which, process._replace(stage="marked", in_time=True))
        yield f"{which} marks", then, "permitted, although a 250 was handed in" if state.proven else None
    else:
        yield f"{which} is not permitted", _with(state, which, Process()), None


def _body(state: State, rules: Rules, which: int) -> Iterator[Step]:
    process = state.processes[which]
    if process.stage != "marked":
        return
    if not process.in_time and rules.first_byte_in_time:
        yield f"{which} is too late", _put_back(state, rules, which, "ready", state.status), None
        return
    others = any(p.stage in MAYBE_TAKEN for n, p in enumerate(state.processes) if n != which)
    broken = None
    if (state.taken or others) and not state.was_unknown:
        broken = "a second body, silently"
    elif state.status == "cancelled":
        broken = "a body after the cancel"
    elif not process.in_time:
        broken = "a body after the rescue"
    yield f"{which} writes the body", _with(state, which, process._replace(stage="writing")), broken


def _relay(state: State, which: int) -> Iterator[Step]:
    process = state.processes[which]
    if process.stage == "writing":
        taken = _with(state, which, process._replace(stage="taken"))
        yield f"relay takes {which}'s", taken._replace(taken=state.taken + 1), None
        yield f"relay refuses {which}'s", _with(state, which, process._replace(stage="refused")), None
    if process.stage == "taken":
        yield f"{which} reads 250", _with(state, which, process._replace(stage="heard")), None
        yield f"{which} reads nothing", _with(state, which, process._replace(stage="unsure")), None


def _settle(state: State, rules: Rules, which: int) -> Iterator[Step]:
    process = state.processes[which]
    if process.stage == "heard":
        then = _proven(state, rules, process)._replace(processes=_idle(state, which))
        yield f"{which} settles 250", then, None
    if process.stage == "unsure":
        held = "held" if process.uncertain_before else "ready"
        yield f"{which} settles silence", _put_back(state, rules, which, held, "unknown"), None
    if process.stage == "refused":
        ended = "unknown" if process.uncertain_before else "failed"
        waits = "unknown" if process.uncertain_before else "deferred"
        ignored = _holds(state.entry, process) and not _counts(state, rules, process)
        broken = "a definite no is not heard" if ignored else None
        yield f"{which} settles 4yz", _put_back(state, rules, which, "ready", waits), broken
        yield f"{which} settles 5yz", _put_back(state, rules, which, "gone", ended), broken


def _idle(state: State, which: int) -> tuple[Process, Process]:
    return _with(state, which, Process()).processes


def _counts(state: State, rules: Rules, process: Process) -> bool:
    """True if a settle with this fence has an effect."""
    if not rules.settle_needs_fence:
        return state.entry.state != "gone"
    late = state.entry.state != "leased"
    return _holds(state.entry, process) and (rules.settle_counts_after_rescue or not late)


def _put_back(state: State, rules: Rules, which: int, to: str, status: str) -> State:
    process = state.processes[which]
    then = state._replace(processes=_idle(state, which))
    if not _counts(state, rules, process):
        return then
    entry = state.entry._replace(state=to, by=None, marked=False)
    status = status if state.status in WAITING else state.status
    unknown = state.was_unknown or status == "unknown"
    recorded = state.recorded | {process.fence} if process.stage == "refused" else state.recorded
    return then._replace(entry=entry, status=status, was_unknown=unknown, recorded=recorded)


def _proven(state: State, rules: Rules, process: Process) -> State:
    """Apply a 250 that was read: rule 4 if the fence holds, rule 5 if not."""
    entry = state.entry
    if _counts(state, rules, process):
        entry = entry._replace(state="gone")
    elif not rules.proof_counts_without_fence:
        return state._replace(proven=True)
    elif entry.number == process.number and not (entry.state == "leased" and entry.marked):
        entry = entry._replace(state="gone")
    return state._replace(entry=entry, status="sent", proven=True, recorded=state.recorded | {process.fence})


def _kill(state: State, rules: Rules, which: int) -> Step:
    process = state.processes[which]
    left = state.left
    if process.stage == "heard" and rules.journal_is_replayed:  # the process that reads the reply writes the line
        left |= {(*process.fence, process.uncertain_before)}
    then = _with(state, which, Process())._replace(kills=state.kills - 1, left=left)
    # Nobody can claim for this process any more, because a restarted one has another name.
    entry = state.entry._replace(by=None) if state.entry.by == which else state.entry
    broken = None if process.stage != "heard" or rules.journal_is_replayed else "a 250 was read, and is forgotten"
    return f"{which} is killed", then._replace(entry=entry), broken


def _rescue(state: State, rules: Rules) -> Iterator[Step]:
    entry = state.entry
    if entry.state != "leased":
        return
    unknown = entry.marked and rules.rescue_calls_marked_unknown and state.status in WAITING
    # So much time has passed that the holder of this mark may not begin a body any more.
    processes = tuple(
        p._replace(in_time=False) if p.fence == (entry.number, entry.lease_no) else p for p in state.processes
    )
    to = "held" if unknown and state.was_unknown else "ready"
    yield (
        "rescue",
        state._replace(
            entry=entry._replace(state=to, by=None, marked=False),
            status="unknown" if unknown else state.status,
            was_unknown=state.was_unknown or unknown,
            processes=(processes[0], processes[1]),
        ),
        None,
    )


def _replay(state: State, rules: Rules) -> Iterator[Step]:
    for number, lease_no, before in sorted(state.left):
        then = state._replace(left=state.left - {(number, lease_no, before)})
        if (number, lease_no) not in state.recorded:
            then = _proven(then, rules, Process("heard", number, lease_no, uncertain_before=before))
        yield "journal is replayed", then, None


def _people(state: State, rules: Rules) -> Iterator[Step]:
    entry, status = state.entry, state.status
    may = status in ("queued", "deferred") or (status == "unknown" and not rules.cancel_spares_unknown)
    if may and entry.state != "gone" and not (entry.marked and rules.cancel_spares_marked):
        broken = "cancelled, although nobody knows whether it was taken" if status == "unknown" else None
        yield "cancel", state._replace(entry=entry._replace(state="gone"), status="cancelled"), broken
    if not state.again:
        return
    new = Entry(entry.number + 1) if rules.new_entry_is_new else Entry(entry.number)
    if status == "failed":
        yield "retry", state._replace(entry=new, status="queued", again=state.again - 1), None
    if status == "unknown" and not entry.marked:
        yield "resolve: resend", state._replace(entry=new, status="queued", again=state.again - 1), None
