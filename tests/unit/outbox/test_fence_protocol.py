"""The fence protocol, checked over every interleaving of two processes, and each rule by what happens without it."""

import os
from dataclasses import replace

import pytest
from support import fence_model
from support.fence_model import Rules, State, broken_promise, steps

KILLS = 2 if os.environ.get("NOTIFIER_CHAOS") == "long" else 1


@pytest.mark.timeout(300)
def test_no_interleaving_breaks_a_promise() -> None:
    """Claim, mark, body, reply, kill, rescue, replay, proof, cancel, retry and resolve, in every order: no bad end."""
    count, way = explore(Rules(), kills=KILLS)
    assert way is None
    assert count > 100_000


@pytest.mark.parametrize("rule", fence_model.rule_names())
def test_each_rule_is_needed(rule: str) -> None:
    """Without the rule there is an order of events that breaks a promise."""
    _, way = explore(replace(Rules(), **{rule: False}))
    assert way is not None


def test_the_model_is_not_empty() -> None:
    """All that the protocol is about does happen in it."""
    ends = reachable(Rules(), State(kills=1, again=0))
    assert {state.status for state in ends} == {"queued", "deferred", "unknown", "cancelled", "failed", "sent"}
    assert {state.entry.state for state in ends} == {"ready", "leased", "held", "gone"}
    assert any(state.taken == 2 and state.was_unknown for state in ends)
    assert any(state.left for state in ends)


def explore(rules: Rules, *, kills: int = 2) -> tuple[int, list[str] | None]:
    """How many states there are, and the shortest way to a broken promise; None if there is none."""
    start = State(kills=kills)
    came_from: dict[State, tuple[State, str] | None] = {start: None}
    level = [start]
    while level:
        following = []
        for state in level:
            for name, then, at_once in steps(state, rules):
                broken = at_once or broken_promise(then)
                if broken:
                    return len(came_from), [*_way(came_from, state), name, f"-> {broken}"]
                if then not in came_from:
                    came_from[then] = (state, name)
                    following.append(then)
        level = following
    return len(came_from), None


def reachable(rules: Rules, start: State) -> set[State]:
    """Every state, to see that the model is not empty."""
    seen, waiting = {start}, [start]
    while waiting:
        for _, then, _ in steps(waiting.pop(), rules):
            if then not in seen:
                seen.add(then)
                waiting.append(then)
    return seen


def _way(came_from: dict[State, tuple[State, str] | None], state: State) -> list[str]:
    names = []
    while (before := came_from[state]) is not None:
        state, name = before
        names.append(name)
    return names[::-1]
