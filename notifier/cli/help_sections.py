"""The help of `notifier`: its commands in sections, each with its whole first sentence."""

import re
from typing import TYPE_CHECKING

import typer
from typer.core import TyperGroup

if TYPE_CHECKING:
    from typer._click import Context, HelpFormatter

SECTIONS = {
    "Run": ("demo", "init", "serve", "api", "sender", "inbox", "doctor", "capacity", "db"),
    "Send": ("send", "merge", "forward"),
    "Look after mail": ("find", "show", "unknown", "cancel", "retry", "resolve", "suppressions", "stats"),
    "Templates": ("templates",),
    "Jobs": ("jobs", "schedules", "feeds"),
    "Administer": ("services", "keys", "staff", "openapi"),
}
COMMANDS = "Commands"
NOTES = {
    "doctor": "Opens the database.",
    "capacity": "Opens the database.",
    "db": "Opens the database.",
    "send": "Calls the API.",
    "merge": "Calls the API.",
    "forward": "Calls the API, and opens your own database.",
}
"""Where commands work that are not `api_access.pass_api` commands."""
_FIRST_SENTENCE = re.compile(r".*?\.(?= |$)")


def add_note(name: str, text: str) -> str:
    """Add to a command's help where it works."""
    return f"{text}\n\n{NOTES[name]}" if name in NOTES else text


class SectionedGroup(TyperGroup):
    """A group of commands whose help has sections."""

    def format_commands(self, ctx: "Context", formatter: "HelpFormatter") -> None:
        """Write the commands of each section. Names are bold on a terminal."""
        names = self.list_commands(ctx)
        sections = SECTIONS if ctx.parent is None else {}
        others = [name for name in names if not any(name in listed for listed in sections.values())]
        for section, listed in {**sections, COMMANDS: others}.items():
            if rows := [self._build_row(ctx, name) for name in listed if name in names]:
                with formatter.section(section):
                    formatter.write_dl(rows)

    def _build_row(self, ctx: "Context", name: str) -> tuple[str, str]:
        command = self.get_command(ctx, name)
        help_ = command.help if command is not None and command.help else ""
        return typer.style(name, bold=True), _get_first_sentence(help_)


def _get_first_sentence(text: str) -> str:
    paragraph = " ".join(text.partition("\n\n")[0].split())
    sentence = _FIRST_SENTENCE.match(paragraph)
    return sentence[0] if sentence else paragraph
