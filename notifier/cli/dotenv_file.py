"""Writes variables into `.env` of the working directory, readable by this user only. Lines of others are kept."""

import os
import re
from collections.abc import Mapping
from pathlib import Path

from notifier.cli.command import USAGE_ERROR, CommandError

DOTENV = Path(".env")
_PLAIN_VALUE = re.compile(r"[A-Za-z0-9@%+=:,./_-]*")


def require_writable() -> None:
    """Raise `CommandError` if `.env` cannot be written. Writes nothing."""
    if DOTENV.is_dir():
        raise CommandError(".env cannot be written: it is a directory; move it away", USAGE_ERROR)
    if not os.access(Path.cwd(), os.W_OK) or (DOTENV.exists() and not os.access(DOTENV, os.W_OK)):
        raise CommandError(
            f".env cannot be written in {Path.cwd()}: use another directory, or let this user write there", USAGE_ERROR
        )


def write_variables(values: Mapping[str, str]) -> None:
    """Set these variables in `.env`, each in its old place or at the end. Raises `CommandError`."""
    from notifier.db import data_directory

    try:
        text = DOTENV.read_text() if DOTENV.exists() else ""
        for name, value in values.items():
            text = _replace_line(text, name, f"{name}={_quote(value)}")
        data_directory.write_secret_file(DOTENV, text.removesuffix("\n"))
    except (OSError, UnicodeDecodeError) as error:
        reason = data_directory.describe_os_error(error) if isinstance(error, OSError) else "it is not UTF-8"
        raise CommandError(f".env cannot be written: {reason}; correct that, and repeat", USAGE_ERROR) from error


def _replace_line(text: str, name: str, line: str) -> str:
    """Replace the line that sets a variable, or add the line at the end."""
    old = re.search(rf"^[ \t]*(export[ \t]+)?{name}[ \t]*=.*$", text, re.MULTILINE)
    if old:
        return text[: old.start()] + line + text[old.end() :]
    return f"{text.rstrip()}\n{line}\n".lstrip()


def _quote(value: str) -> str:
    """Quote a value that is not plain, so that it is read from `.env` as it stands."""
    if _PLAIN_VALUE.fullmatch(value):
        return value
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
