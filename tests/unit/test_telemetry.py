"""Logs carry an allow-list of fields; metrics are one catalogue."""

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from prometheus_client.parser import text_string_to_metric_families

from notifier.telemetry import logging, metrics
from notifier.telemetry.redaction import MAX_REDACTED_TEXT, redact_text

ROOT = Path(__file__).parents[2]


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Where the log goes in this test."""
    made = io.StringIO()
    yield made
    structlog.reset_defaults()


def test_fields_off_the_list_are_dropped_and_named(stream: io.StringIO) -> None:
    """An address cannot be logged by accident."""
    logging.configure_logging(json=True, level="INFO", stream=stream)
    logging.get_logger().info("tried", outcome="accepted", recipient="ada@example.com")
    line = json.loads(stream.getvalue())
    assert (line["event"], line["outcome"], line["level"]) == ("tried", "accepted", "info")
    assert "ada@example.com" not in stream.getvalue()
    assert "recipient" in line["detail"]


@pytest.mark.parametrize("as_json", [True, False])
def test_exceptions_are_logged_with_their_places_and_no_words(stream: io.StringIO, *, as_json: bool) -> None:
    """Causes and the members of groups too; messages, notes and source lines are left out."""
    logging.configure_logging(json=as_json, level="INFO", stream=stream)
    group = ExceptionGroup("canary", [KeyError("canary"), SyntaxError("canary", ("x.py", 1, 1, "canary"))])
    group.add_note("canary")
    try:
        try:
            int("canary")
        except ValueError as error:
            raise group from error
    except ExceptionGroup:
        logging.get_logger().exception("failed")
    lines = stream.getvalue()
    for kind in ("ExceptionGroup", "KeyError", "SyntaxError", "ValueError", "test_telemetry.py:"):
        assert kind in lines
    assert "canary" not in lines


def test_a_chain_without_end_is_cut(stream: io.StringIO) -> None:
    """Neither many causes nor many frames make a long line."""
    logging.configure_logging(json=True, level="INFO", stream=stream)
    error: Exception = ValueError()
    for _ in range(100):
        error, cause = ValueError(), error
        error.__cause__ = cause

    def fall(depth: int) -> None:
        if not depth:
            raise error
        fall(depth - 1)

    try:
        fall(500)
    except ValueError:
        logging.get_logger().exception("failed")
    described = json.loads(stream.getvalue())["exception"]
    assert described.count("ValueError") == logging.MAX_CHAIN
    assert len(described) == logging.MAX_CHAIN + logging.MAX_FRAMES


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (
            "550 5.1.1 <bob@example.org>: Recipient address rejected: User unknown in relay recipient table",
            "550 5.1.1 [removed]: Recipient address rejected: User unknown in relay recipient table",
        ),
        ("554 5.7.1 bob@example.org is not welcome", "554 5.7.1 [removed] is not welcome"),
        ('550 "Bob Smith"@example.org unknown', "550 [removed] unknown"),
        ("550 bob @ example.org unknown", "550 [removed] unknown"),
        ("550 bob\uff20example.org unknown", "550 [removed] unknown"),
        ("550 r=bob%40example.org&x=1 refused", "550 [removed] refused"),
        ("535 token abcDEF0123456789abcDEF0123 expired", "535 token [removed] expired"),
        ("550 the mailbox 'bob smith' isn't here", "550 the mailbox [removed] isn't here"),
        ("550 one\r\n\x1b[31mtwo", "550 one [31mtwo"),
        ("554 5.7.1 Client host [192.0.2.1] blocked", "554 5.7.1 Client host [192.0.2.1] blocked"),
    ],
)
def test_words_of_strangers_lose_addresses_quotations_and_tokens(stream: io.StringIO, words: str, shown: str) -> None:
    """What a relay or an endpoint says is logged without whom it is about."""
    assert redact_text(words) == shown
    logging.configure_logging(json=True, level="INFO", stream=stream)
    logging.get_logger().warning("circuit_opened", reason=words)
    assert json.loads(stream.getvalue())["reason"] == shown


def test_redacted_words_have_an_end() -> None:
    """However long the reply, and whatever stands open in it."""
    for words in ("x " * 10_000, "<" * 10_000, '"a' * 10_000, "@ " * 10_000, "\ufdfa" * 10_000):
        assert len(redact_text(words)) <= 5 * MAX_REDACTED_TEXT


def test_less_severe_lines_are_left_out(stream: io.StringIO) -> None:
    """The level is the least severe that is written."""
    logging.configure_logging(json=True, level="WARNING", stream=stream)
    logging.get_logger().info("quiet")
    logging.get_logger().warning("loud")
    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["loud"]


def test_every_metric_is_used_and_named_once() -> None:
    """The catalogue has no metric that nothing sets, and code uses none besides it."""
    named = {name for name, value in vars(metrics).items() if name.isupper() and hasattr(value, "collect")}
    code = "\n".join(path.read_text() for path in (ROOT / "notifier").rglob("*.py") if path.name != "metrics.py")
    used = set(re.findall(r"\bmetrics\.([A-Z_]+)\b", code)) - {"CONTENT_TYPE"}
    assert used == named - {"REGISTRY"}
    assert b"# HELP notifier_due_age_seconds" in metrics.format_metrics()


def test_metrics_follow_the_naming_rules_of_prometheus() -> None:
    """As `promtool check metrics` demands: help, units in full, `_total` for counters only; and no `_created`."""
    families = list(text_string_to_metric_families(metrics.format_metrics().decode()))
    assert len(families) > 40
    for family in families:
        assert family.documentation.endswith("."), family.name
        assert re.fullmatch(r"(notifier|process)_[a-z_]+", family.name)
        assert not re.search(r"_(created|ms|milliseconds|kb|mb|counter|gauge|histogram)(_|$)", family.name)
        assert family.type == "counter" or not family.name.endswith(("_total", "_count", "_sum", "_bucket"))
        assert all(sample.name.endswith("_total") for sample in family.samples if family.type == "counter")


def test_gauges_of_the_shared_database_say_how_to_add_them_up() -> None:
    """Every replica reports them, so their help says max() and not sum()."""
    families = {family.name: family.documentation for family in metrics.REGISTRY.collect()}
    shared = {name for name, text in families.items() if "use max(), not sum()" in text}
    assert shared == {
        "notifier_due_age_seconds",
        "notifier_outbox_entries",
        *(name for name in families if name.startswith(("notifier_table_", "notifier_database_"))),
    } - {"notifier_database_connections"}
