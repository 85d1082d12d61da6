"""The help of `notifier`: sections, whole sentences, and where each command works."""

from collections.abc import Iterator
from typing import Any

import typer
from support.typed_commands import type_command

from notifier.cli.help_sections import NOTES, SECTIONS
from notifier.cli.main import app

RUNNING = {"demo", "init", "serve", "api", "sender", "inbox", "openapi"}
"""Commands whose help says what they run instead of where they work."""
ON_FILES = {"templates lint", "templates new", "templates preview", "templates render"}


def _commands(group: Any, before: str = "") -> Iterator[tuple[str, Any]]:
    """Every command with its groups, and every group."""
    for name, command in group.commands.items():
        yield before + name, command
        if hasattr(command, "commands"):
            yield from _commands(command, f"{before}{name} ")


COMMANDS = dict(_commands(typer.main.get_command(app)))


def test_every_command_has_a_section() -> None:
    """Each command is in one section, and nothing is left over or cut off."""
    named = [name for names in SECTIONS.values() for name in names]
    assert sorted(named) == sorted(name for name in COMMANDS if " " not in name)
    shown = type_command("--help").stdout
    assert [line.strip(":") for line in shown.splitlines() if line.endswith(":") and line[0] != " "] == [
        "Options",
        *SECTIONS,
    ]
    assert "..." not in shown.partition("\n")[2]
    assert "\x1b" not in shown
    assert "--install-completion" in shown


def test_each_command_says_where_it_works() -> None:
    """The help of a command says whether it calls the API or opens the database."""
    for name, command in COMMANDS.items():
        first = name.partition(" ")[0]
        if first in RUNNING or name in ON_FILES or hasattr(command, "commands"):
            continue
        has_local = any("--local" in parameter.opts for parameter in command.params)
        assert has_local == ("NOTIFIER_URL" in (command.help or "")), name
        assert has_local or first in NOTES, name


def test_no_option_has_a_negative_twin() -> None:
    """No option is offered with `--no-…` beside it."""
    parameters = [parameter for command in COMMANDS.values() for parameter in command.params]
    assert [option for parameter in parameters for option in parameter.secondary_opts] == []
