"""The fenced blocks of all documents: which test runs each one, or why none does.

`support.document_reader` runs the blocks of a document in order, and compares a block that shows an answer with the
real one. A hidden comment right before the fence may change that.
"""

import contextlib
import io
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
DOCUMENTS = tuple(
    str(path.relative_to(ROOT))
    for path in sorted(
        [
            *ROOT.glob("*.md"),
            *ROOT.glob("clients/*/*.md"),
            *(ROOT / "docs").rglob("*.md"),
            *(ROOT / "examples").rglob("*.md"),
        ]
    )
)
_BLOCK = re.compile(
    r"^(?:<!-- (?P<word>[a-z ]+): (?P<rest>[^\n]+) -->\n)?```(?P<language>\w*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_AHEAD = re.compile(r"\b2026-12-(\d\d)\b")
WEBHOOK = "POST "
"""The beginning of a block that shows a webhook."""
_ACTS = frozenset({"sh", "python"})
_SHOWS = frozenset({"json", "http", "text", "html"})
_TEMPLATE = "jinja"


class BlockUse(StrEnum):
    """How a block is tested."""

    RUN = "run"  # in the shell or the interpreter of its document
    SHOWN = "shown"  # compared with the last answer, or with the last webhook
    POSTED = "posted"  # `<!-- posted: PATH STATUS -->`: sent as a body, with this status as the reply
    ANSWER = "answer to"  # `<!-- answer to: PATH BODY -->`: compared with the reply to that body
    VALUES = "values"  # `<!-- values: REMARK -->`: the values for the template snippets below
    RENDERED = "rendered"  # `<!-- rendered: PART LOCALE PUBLIC -->`: a snippet; by default of an English text part
    ELSEWHERE = "run by"  # `<!-- run by: FILE -->`: run by a separate test
    NEVER = "not run"  # `<!-- not run: REASON -->`
    FORGOTTEN = "forgotten"


@dataclass(frozen=True, kw_only=True)
class Block:
    """One fenced block."""

    document: str
    line: int  # of its fence
    language: str
    text: str
    fate: BlockUse
    rest: str = ""  # the rest of the comment

    def __str__(self) -> str:
        return f"{self.document}:{self.line} ({self.language or 'no language'}): {self.fate}"


def list_blocks(document: str, language: str = "") -> list[Block]:
    """List the blocks of a document in order, optionally of one language."""
    text = _move_dates((ROOT / document).read_text())
    blocks_: list[Block] = []
    for match in _BLOCK.finditer(text):
        line = text.count("\n", 0, match.start("language")) + 1
        fate = BlockUse(match["word"]) if match["word"] else _usual(match["language"], match["text"], blocks_)
        blocks_.append(
            Block(
                document=document,
                line=line,
                language=match["language"],
                text=match["text"],
                fate=fate,
                rest=match["rest"] or "",
            )
        )
    return [block for block in blocks_ if language in {"", block.language}]


def run_python_block(block: Block) -> tuple[str, dict[str, Any]]:
    """Run a Python block in this process; return what it prints and the names that it defines."""
    names: dict[str, Any] = {}
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(block.text, block.document, "exec"), names)
    return printed.getvalue(), names


def _move_dates(text: str) -> str:
    """Move the days of December 2026, which lie ahead in the documents, to as many days from now."""
    today = datetime.now(UTC).date()
    return _AHEAD.sub(lambda match: (today + timedelta(days=int(match[1]))).isoformat(), text)


def _usual(language: str, text: str, before: list[Block]) -> BlockUse:
    """The default use: run code, compare the answer after it, and treat a POST as a received webhook."""
    if language in _ACTS:
        return BlockUse.RUN
    if language == _TEMPLATE:
        return BlockUse.RENDERED
    is_answer = (
        language in _SHOWS and bool(before) and before[-1].fate in {BlockUse.RUN, BlockUse.POSTED, BlockUse.RENDERED}
    )
    is_webhook = language == "http" and text.startswith(WEBHOOK)
    return BlockUse.SHOWN if is_answer or is_webhook else BlockUse.FORGOTTEN
