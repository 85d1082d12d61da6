"""Follows a document like a reader: runs its blocks in order, and compares their output with the document.

Addresses, ports, the key, ids from earlier answers, and dates (to those of the next days) are replaced.
"""

import contextlib
import io
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx2

from support import answer_likeness, notifier_process, template_snippet
from support.answer_likeness import Ids
from support.document_blocks import ROOT, WEBHOOK, Block, BlockUse

PATIENCE = 20.0  # seconds until the output of a document must have arrived
_DATE = re.compile(r"\b20\d\d-[01]\d-[0-3]\d(?=T)")
_CHANGES = re.compile(r"\s(-d|-X|--data\S*|--request)\b|\$\(|\bexport\b")
_SETUP = """
set -aeu
make() { command make --dry-run -C "$ROOT" "$@"; }  # the demo runs already, and so do the tests
"""
_KEEP = "\nenv -0 >&3\n"


class DocumentReader:
    """The shell, interpreter and webhook receiver for one document, in a separate directory."""

    def __init__(self, folder: Path, demo: dict[str, str], heard: Callable[[], Any], port: int, **env: str) -> None:
        """`heard` waits for the next webhook at `port`, which replaces the document's 9000."""
        self._folder, self._demo, self._heard = folder, demo, heard
        self._puts = {
            "localhost:8000": demo["api"].removeprefix("http://"),
            "localhost:8025": demo["inbox"].removeprefix("http://"),
            "9000": str(port),
        }
        path = f"{notifier_process.NOTIFIER.parent}{os.pathsep}{os.environ['PATH']}"
        ours = notifier_process.without_coverage(notifier_process.build_environment(folder, **env))
        self.env = ours | {
            "PATH": path,
            "ROOT": str(ROOT),
            "PWD": str(folder),
        }
        self.names: dict[str, Any] = {"__name__": "__main__"}
        self.ids = Ids()
        self.said = ""
        self._values = "{}"
        for name in ("templates", "examples"):
            (folder / name).symlink_to(ROOT / name)
        (folder / ".venv").symlink_to(sys.prefix)

    def follow(self, blocks: list[Block]) -> None:
        """Run every block for this reader, and close everything at the end."""
        try:
            for number, block in enumerate(blocks):
                after = blocks[number + 1] if number + 1 < len(blocks) else None
                self._take(block, after if after and after.fate is BlockUse.SHOWN else None)
        except Exception as error:
            error.add_note(str(block))
            raise
        finally:
            self._close()

    def _close(self) -> None:
        things = [value for value in self.names.values() if not isinstance(value, type | ModuleType)]
        for end in (getattr(value, name, None) for value in things for name in ("close", "dispose")):
            if callable(end):
                end()

    def _take(self, block: Block, answer: Block | None) -> None:
        if block.fate is BlockUse.RUN:
            run = self._sh if block.language == "sh" else self._python
            self._until_as_shown(lambda: run(block.text), block, answer)
        elif block.fate is BlockUse.POSTED:
            path, _, status = block.rest.rpartition(" ")
            self._post(path, block.text, int(status))
            assert answer is None or not self._unlike(answer), self._unlike(answer)
        elif block.fate is BlockUse.ANSWER:
            path, _, body = block.rest.partition(" ")
            self._post(path, body, None)
            assert not self._unlike(block), self._unlike(block)
        elif block.fate is BlockUse.VALUES:
            self._values = block.text
        elif block.fate is BlockUse.RENDERED:
            self.said = template_snippet.render_snippet(block.text, self._values, *block.rest.split())
            assert answer, f"{block} shows nothing"
            assert not self._unlike(answer), f"{self._unlike(answer)}\n{self.said}"
        elif block.text.startswith(WEBHOOK):  # webhooks of earlier mails may arrive first
            self.said = self._heard()
            while (unlike := self._unlike(block)) and (another := self._heard()):
                self.said = another
            assert not unlike, f"{unlike}\n{self.said}"

    def _until_as_shown(self, run: Callable[[], str], block: Block, answer: Block | None) -> None:
        """Run a block; repeat a read-only one until the answer matches."""
        ends = time.monotonic() + PATIENCE
        self.said = run()
        if answer is None or answer.text.startswith(WEBHOOK):
            assert '"type":"/problems/' not in self.said, self.said  # curl exits with 0 also for an error status
            return
        only_looks = block.language == "sh" and not _CHANGES.search(block.text)
        while (unlike := self._unlike(answer)) and only_looks and time.monotonic() < ends:
            self.said = run()
        assert not unlike, f"{unlike}\n{self.said}"

    def _put(self, text: str) -> str:
        text = self._with_addresses(self.ids.put_into(text)).replace("ntf_live_…", self._demo["key"])
        text = text.replace("ntf_admin_…", self._demo["admin_key"])
        today = datetime.now(UTC).date()
        days = {day: today + timedelta(days=n) for n, day in enumerate(sorted(set(_DATE.findall(text))), 1)}
        return _DATE.sub(lambda match: days[match[0]].isoformat(), text)

    def _sh(self, text: str) -> str:
        """Run a shell block and return its output; directory, variables and functions persist."""
        variables_file = self._folder / ".environment"
        script = f"exec 3>{variables_file}\n{_SETUP}{self._put(text)}{_KEEP}"
        done = subprocess.run(
            ["bash", "-c", script],
            check=False,
            env=self.env,
            cwd=self.env["PWD"],
            capture_output=True,
            text=True,
            timeout=100,
        )
        assert done.returncode == 0, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        self.env = dict(line.split("=", 1) for line in variables_file.read_text().split("\0") if line)
        return done.stdout

    def _python(self, text: str) -> str:
        """Run a Python block and return its output."""
        printed, before = io.StringIO(), dict(os.environ)
        os.environ.update({name: value for name, value in self.env.items() if name.startswith("NOTIFIER_")})
        try:
            with contextlib.redirect_stdout(printed), contextlib.chdir(self._folder):
                exec(compile(self._put(text), "block", "exec"), self.names)
        finally:
            os.environ.clear()
            os.environ.update(before)
        return printed.getvalue()

    def _post(self, path: str, body: str, status: int | None) -> None:
        fields = {"Authorization": f"Bearer {self._demo['key']}", "Content-Type": "application/json"}
        answer = httpx2.post(self._demo["api"] + path, content=self._put(body).encode(), headers=fields, timeout=100)
        assert status in {None, answer.status_code}, answer.text
        self.said = answer.text

    def _unlike(self, block: Block) -> list[str]:
        """The differences between the last answer and the block."""
        ids = Ids(self.ids)
        differences = _compare(block.language, self._with_addresses(block.text), self.said, ids)
        if not differences:
            self.ids = ids
        return differences

    def _with_addresses(self, text: str) -> str:
        for placeholder, real in self._puts.items():
            text = re.sub(rf"(?<!\w){re.escape(placeholder)}(?!\w)", real, text)
        return text


def _compare(language: str, expected: str, said: str, ids: Ids) -> list[str]:
    """The differences between two texts of this language."""
    if language == "json":
        return answer_likeness.find_differences(answer_likeness.parse_shown(expected), _json(said), ids)
    if language in {"text", "html"}:
        return answer_likeness.find_differences(expected.splitlines(), said.splitlines(), ids)
    first, fields, body = answer_likeness.parse_message(expected)
    real_first, real_fields, real_body = answer_likeness.parse_message(said)
    differences = answer_likeness.find_differences(
        {"first": first, **fields}, {"first": real_first, **real_fields}, ids
    )
    return differences + (
        answer_likeness.find_differences(answer_likeness.parse_shown(body), _json(real_body), ids) if body else []
    )


def _json(text: str) -> Any:
    """Parse the last line as JSON; curl may print header fields before it."""
    lines = text.strip().splitlines()
    try:
        return json.loads(lines[-1] if lines else "")
    except ValueError:
        return text
