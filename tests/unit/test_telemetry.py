"""Logs carry an allow-list of fields; metrics are one catalogue."""

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from notifier.telemetry import logging, metrics

ROOT = Path(__file__).parents[2]


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Where the log goes in this test."""
    made = io.StringIO()
    yield made
    structlog.reset_defaults()


def test_fields_off_the_list_are_dropped_and_named(stream: io.StringIO) -> None:
    """An address cannot be logged by accident."""
    logging.configure(json=True, level="INFO", stream=stream)
    logging.get_logger().info("tried", outcome="accepted", recipient="ada@example.com")
    line = json.loads(stream.getvalue())
    assert (line["event"], line["outcome"], line["level"]) == ("tried", "accepted", "info")
    assert "ada@example.com" not in stream.getvalue()
    assert "recipient" in line["detail"]


def test_exceptions_are_logged_with_their_place(stream: io.StringIO) -> None:
    """A trace is data in JSON, and readable on a terminal."""
    for as_json in (True, False):
        logging.configure(json=as_json, level="INFO", stream=stream)
        try:
            int("the place")
        except ValueError:
            logging.get_logger().exception("failed")
    assert stream.getvalue().count("the place") >= 2


def test_less_severe_lines_are_left_out(stream: io.StringIO) -> None:
    """The level is the least severe that is written."""
    logging.configure(json=True, level="WARNING", stream=stream)
    logging.get_logger().info("quiet")
    logging.get_logger().warning("loud")
    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["loud"]


def test_every_metric_is_used_and_named_once() -> None:
    """The catalogue has no metric that nothing sets, and code uses none besides it."""
    named = {name for name, value in vars(metrics).items() if name.isupper() and hasattr(value, "collect")}
    code = "\n".join(path.read_text() for path in (ROOT / "notifier").rglob("*.py") if path.name != "metrics.py")
    used = set(re.findall(r"\bmetrics\.([A-Z_]+)\b", code)) - {"CONTENT_TYPE"}
    assert used == named - {"REGISTRY"}
    assert b"# HELP notifier_due_age_seconds" in metrics.exposition()
