"""The short form of `make bench` runs from end to end and prints every table; its figures are not checked."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from chaos.size import size
from support.notifier_process import without_coverage
from support.run_selection import EVERYTHING

ROOT = Path(__file__).parents[2]
ENV = without_coverage(dict(os.environ))
SUBMIT, DRAIN = ("submit",), ("drain",)
GATE = ("gate",)  # alone: its child has a low priority, and may never run beside a drain on two cores
OTHERS = ("latency", "idle", "growth", "search", "console", "hostile", "neighbour", "scale")

EXPECTED_TEXTS = {
    "submit": ("POST, postgresql", "POST, sqlite", "notifications/batch", "POST ÷ no-op", "commits that wrote"),
    "drain": ("(b) receipt_inline", "sender ÷ limit", "WAL", "CPU of parent"),
    "latency": ("latency from POST",),
    "idle": ("(d) idle", "statements", "memory"),
    "growth": (
        "full tables: claims",
        "another service's backlog ahead ÷ empty",
        "under an old snapshot",
        "come and go",
    ),
    "search": ("(g) search", "status=failed", "tag + template", "slowest filter alone"),
    "console": ("(m) console", "one mail", "(n) people in the console", "CPU of a page", "s between pages ÷ nobody"),
    "hostile": ("(j) hostile", "POST, hostile", "hostile ÷ quiet"),
    "neighbour": ("(l) neighbour", "unknown-keys ÷ quiet", "the attacker's answers"),
    "scale": ("(o) welcome", "deliver, 2 processes", "kept after its end", "predicted and measured"),
    "gate": ("(i) publishing", "gate over 10 payloads", "check and publish"),
}


PARTS = [DRAIN, *([SUBMIT, GATE] if EVERYTHING else []), *size([], [OTHERS])]


@pytest.mark.parametrize("parts", PARTS, ids=" ".join)
def test_the_short_form_prints_every_figure(parts: tuple[str, ...], tmp_path: Path) -> None:
    """Every part that needs only this checkout prints its tables, and the numbers for the chart."""
    results_file = tmp_path / "results.json"
    command = [
        sys.executable,
        "-m",
        "bench",
        "--quick",
        "--search-rows",
        "2000",
        "--json",
        str(results_file),
        "--only",
        *parts,
    ]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=390, check=False, env=ENV)
    assert ran.returncode == 0, ran.stderr
    for words in (words for part in parts for words in EXPECTED_TEXTS[part]):
        assert words in ran.stdout
    assert {name.partition(".")[0] for name in json.loads(results_file.read_text())["results"]} >= set(parts)


def test_the_chart_shows_the_results(tmp_path: Path) -> None:
    """docs/bench.svg is what bench/chart.py draws from bench/results.json."""
    drawn = tmp_path / "bench.svg"
    subprocess.run(
        [sys.executable, "-m", "bench.chart", "bench/results.json", str(drawn)], cwd=ROOT, check=True, timeout=100
    )
    assert drawn.read_text() == (ROOT / "docs" / "bench.svg").read_text()
