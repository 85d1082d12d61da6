"""Checks the HTML of a mail by the rules for templates, in a process of its own that is stopped after some seconds."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from contextlib import suppress
from typing import Any

from notifier.inbox.received_message import ReceivedMessage

MAX_CHECKED_HTML = 1024 * 1024
"""Characters of HTML that are checked; a larger mail is not checked at all."""
CHECK_SECONDS = 10.0  # a mail of the usual size takes half of one
_PROGRAM = "notifier.inbox.html_check_program"


class CheckFailedError(Exception):
    """The mail cannot be checked; the message is a sentence for the reader."""


async def check_html(message: ReceivedMessage, seconds: float = CHECK_SECONDS) -> list[dict[str, Any]]:
    """List the findings about the HTML, the subject and the text of a mail with HTML. Raises CheckFailedError.

    `seconds`: after them the check is stopped.
    """
    mail = await asyncio.to_thread(_read_mail, message)
    child = await asyncio.create_subprocess_exec(sys.executable, "-m", _PROGRAM, stdin=PIPE, stdout=PIPE, stderr=PIPE)
    try:
        async with asyncio.timeout(seconds):
            output, _ = await child.communicate(mail)
    except TimeoutError as error:
        raise CheckFailedError(f"The check took more than {seconds:g} seconds and was stopped.") from error
    finally:
        with suppress(ProcessLookupError):
            child.kill()
        await child.wait()
    if child.returncode != 0:
        raise CheckFailedError("The check failed. The HTML may be too complicated for it.")
    findings: list[dict[str, Any]] = json.loads(output)
    return findings


def _read_mail(message: ReceivedMessage) -> bytes:
    html, text = message.html or "", message.text
    if len(html) > MAX_CHECKED_HTML:
        raise CheckFailedError("The HTML is too large to be checked: more than a megabyte.")
    return json.dumps({"subject": message.subject, "html": html, "text": text and text[:MAX_CHECKED_HTML]}).encode()
