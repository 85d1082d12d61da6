"""Commands that documents name within a sentence exist, with their options; blocks of commands are run elsewhere."""

import re
from typing import Any

import pytest
import typer.main
from support.document_blocks import DOCUMENTS, ROOT

from notifier.cli.main import app

_COMMAND = re.compile(r"`notifier ([^`]+)`")
COMMANDS = sorted({line for name in DOCUMENTS for line in _COMMAND.findall((ROOT / name).read_text())})


def _list_options(command: Any) -> set[str]:
    return {name for parameter in command.params for name in parameter.opts} | {"--help"}


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_in_a_sentence_exists(line: str) -> None:
    """Each word before the arguments names a command (`list|show` two of them), and each option is one of it."""
    words = line.split()
    commands: list[Any] = [typer.main.get_command(app)]
    while words and hasattr(commands[0], "commands") and not words[0].startswith("-"):
        commands = [commands[0].commands[name] for name in words.pop(0).split("|")]
    for word in words:
        if word.startswith("--"):
            assert all(word in _list_options(command) for command in commands), word
