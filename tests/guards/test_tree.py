"""Rules for the whole tree: short files, SQL and statuses in one place, nothing unfinished."""

import ast
import re
from pathlib import Path

from notifier.telemetry.logging import ALLOWED_FIELDS

ROOT = Path(__file__).parents[2]
PACKAGE = sorted((ROOT / "notifier").rglob("*.py"))
CODE = [*PACKAGE, *sorted((ROOT / "tests").rglob("*.py")), *sorted((ROOT / "bench").rglob("*.py"))]
MAX_FILE_LINES = 300
MAX_FUNCTION_LINES = 60
LONG_FILES: dict[str, str] = {}
"""Files that may be longer, each with the reason: a file of one table, or one catalogue of SQL."""
_MARKS = re.compile(r"\b(TO" + "DO|FIX" + "ME|XX" + "X)" + r"\b|NotImplemented" + r"Error|pytest\.mark\.(skip|xfail)\b")
_QUEUE_SQL = re.compile(r"outbox_entry", re.IGNORECASE)
_PLACES = re.compile(r"(?<![\w.])/(work|farm|root|home)/|pypi\.org|pythonhosted|npmjs")


def _functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    nodes = ast.walk(ast.parse(path.read_text()))
    return [node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_files_and_functions_are_short() -> None:
    """No file has over 300 lines, unless listed with a reason, and no function over 60."""
    files = {_name(path) for path in CODE if len(path.read_text().splitlines()) > MAX_FILE_LINES}
    functions = [
        f"{_name(path)}: {function.name}"
        for path in CODE
        for function in _functions(path)
        if (function.end_lineno or 0) - function.lineno >= MAX_FUNCTION_LINES
    ]
    assert sorted(files ^ LONG_FILES.keys()) == []
    assert functions == []


def test_modules_say_what_they_own() -> None:
    """Every module of the package begins with a docstring."""
    assert [_name(path) for path in PACKAGE if not ast.get_docstring(ast.parse(path.read_text()))] == []


def test_nothing_is_left_half_done() -> None:
    """There are no marks of unfinished work, no skipped tests, and no paths of one machine."""
    others = [path for path in CODE if path != Path(__file__)]
    assert [_name(path) for path in others if _MARKS.search(path.read_text())] == []
    assert [_name(path) for path in others if _PLACES.search(path.read_text())] == []


def test_imports_stand_at_the_top() -> None:
    """No import is inside a function, except in the command line, where it keeps `--help` fast."""
    inside = [
        f"{_name(path)}: {function.name}"
        for path in PACKAGE
        if "cli" not in path.parts and path.name != "__main__.py"
        for function in _functions(path)
        if any(isinstance(node, ast.Import | ast.ImportFrom) for node in ast.walk(function))
    ]
    assert inside == []


def test_queue_sql_stands_in_one_file() -> None:
    """Statements on the outbox are in one file and two beside it; few other modules use the table."""
    allowed = {"notifier/outbox/queue_sql.py", "notifier/db/tables/outbox.py"}
    named = {_name(path) for path in PACKAGE if _QUEUE_SQL.search(path.read_text())}
    assert named == allowed | {"notifier/outbox/claim_sql.py"}
    users = {_name(path) for path in PACKAGE if re.search(r"\bOutboxEntry\b", path.read_text())}
    lookups = ("notification_view", "wait_explanation", "index_walk", "merge_progress")
    readers = {f"notifier/lookup/{name}.py" for name in lookups}
    others = {"notifier/db/tables/__init__.py", "notifier/outbox/entry_store.py"} | readers
    assert users == allowed | others


_CHANGES_STATUS = re.compile(
    r"update\(Notification\)|UPDATE notification\b(?:(?!WHERE).)*SET(?:(?!WHERE).)*\bstatus =", re.DOTALL
)


def test_only_the_status_writer_changes_a_status() -> None:
    """No other module of the package updates the notification table."""
    writers = {_name(path) for path in PACKAGE if _CHANGES_STATUS.search(path.read_text())}
    assert writers == {"notifier/status/status_writer.py"}


def test_only_settings_read_the_environment() -> None:
    """Only the settings read the environment, and clients for their URL and key."""
    readers = {_name(path) for path in PACKAGE if re.search(r"os\.environ|getenv", path.read_text())}
    assert readers <= {"notifier/environment.py", "notifier/client/http_exchange.py"}


def test_what_is_logged_is_on_the_list() -> None:
    """Every logged field is on the allow-list; others would be dropped from the log."""
    levels = {"debug", "info", "warning", "error", "exception"}
    logged = {
        keyword.arg
        for path in PACKAGE
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in levels
        for keyword in node.keywords
    }
    assert logged <= ALLOWED_FIELDS
    assert len(logged) > 10


def test_alembic_is_not_shadowed() -> None:
    """No package at alembic/ hides the library."""
    assert not (ROOT / "alembic" / "__init__.py").exists()


def test_tests_do_not_mock_our_code() -> None:
    """No test uses a mock library or patches `notifier`."""
    for path in (ROOT / "tests").rglob("*.py"):
        if path != Path(__file__):
            assert not re.search(r"unittest\.mock|monkeypatch\.setattr|mocker\b", path.read_text()), _name(path)
