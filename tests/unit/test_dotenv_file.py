"""What is written into `.env` is what is read from it."""

from pathlib import Path

import pytest

from notifier import environment
from notifier.cli import dotenv_file

VALUES = (
    "plain-value_1.example:587",
    "two words",
    "Larkspur <hello@example.com>",
    'O\'Hara "and" sons',
    "back\\slash\\n and \\'",
    "# no comment",
    "${HOME} $(id) `id`",
    "naïve ✓",
)


@pytest.mark.parametrize("value", VALUES)
def test_a_value_is_read_as_it_was_written(value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Quotes, backslashes, blanks and signs of the shell are kept; other lines stay, also after a change."""
    monkeypatch.chdir(tmp_path)
    Path(".env").write_text("# a comment\nexport NOTIFIER_FROM='old one'\nOTHER='NOTIFIER_FROM=x'")
    dotenv_file.write_variables({"NOTIFIER_FROM": "between", "NOTIFIER_SMTP__PASSWORD": value})
    dotenv_file.write_variables({"NOTIFIER_FROM": value})
    read = {name: variable.value for name, variable in environment.read_dotenv().items()}
    assert read == {"NOTIFIER_FROM": value, "NOTIFIER_SMTP__PASSWORD": value}
    lines = Path(".env").read_text().splitlines()
    assert (lines[0], lines[2]) == ("# a comment", "OTHER='NOTIFIER_FROM=x'")
