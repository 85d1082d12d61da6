"""Write the lines of a text part: blanks collapsed, paragraphs apart, lists and quotes indented.

It knows nothing of HTML. There are never two blank lines in a row, and no line ends with a blank.
"""

import re
from dataclasses import dataclass
from typing import Final, NamedTuple

from notifier.mail.limits import MAX_OUTPUT, OutputTooLargeError, count_bytes

MAX_INDENTS: Final = 10  # lists and quotes within each other that are still indented
MAX_JOINED_CELL: Final = 60  # characters of a cell; with two longer ones, each cell of a row has a line of its own
CELL_GAP: Final = "  "
TEXT_TOO_LONG: Final = (
    "the text that is made from this HTML becomes more than 1 MiB, or several times as long as the HTML."
)
_BLANKS: Final = re.compile(r"[ \t\n\r\f\xa0\u2028\u2029]+")
_INVISIBLE_CHARACTERS: Final = dict.fromkeys([*range(9), 0x0B, *range(0x0E, 0x20), *range(0x7F, 0xA0)]) | dict.fromkeys(
    [0xAD, 0x034F, 0x180E, 0x200B, 0x2060, 0xFEFF]
)
"""Control characters, and what only says where a line may break: it would be copied along with an address."""
_LOOSE_JOINERS: Final = re.compile(r"(?<!\S)[\u200c\u200d]+|[\u200c\u200d]+(?!\S)")
"""Joiners beside a blank, which fill a preheader up; those within a word belong to Persian, Hindi and emoji."""
_INVISIBLE_LINE: Final = re.compile(r"[\s\u200c-\u200f\u202a-\u202e\u2066-\u2069]*")
_OPENING: Final = "([{«“\u2018„¿¡<"
_CLOSING: Final = ")]}»”\u2019.,;:!?%…"


@dataclass(slots=True)
class TextLine:
    """One line of the text part."""

    indent: str
    text: str
    is_apart: bool  # after a blank line


class TextPosition(NamedTuple):
    """A position between two words."""

    line: int
    piece: int


class TextWriter:
    """Collects words into lines. Raises `OutputTooLargeError` when the text gets too long."""

    def __init__(self, limit: int = MAX_OUTPUT) -> None:
        self._remaining_bytes = limit  # bytes that may still be written
        self.lines: list[TextLine] = []
        self._pieces: list[str] = []  # of the line that is being written
        self._gap = ""  # before the next word: a blank, or an edge of a box
        self._is_apart = False  # whether a blank line comes before the next line
        self._indents: list[str] = []
        self._marker = ""  # of the list item that begins with the next line

    @property
    def position(self) -> TextPosition:
        """The position of the next word."""
        return TextPosition(len(self.lines), len(self._pieces))

    @property
    def last_character(self) -> str:
        """The last character of the line so far; empty after a blank."""
        return self._pieces[-1][-1:] if self._pieces and not self._gap else ""

    def write(self, text: str) -> None:
        """Append text; runs of blanks become one."""
        words = text
        if not text.isprintable():
            words = _BLANKS.sub(" ", _LOOSE_JOINERS.sub("", text.translate(_INVISIBLE_CHARACTERS)))
        elif "  " in text:
            words = _BLANKS.sub(" ", text)
        if words.startswith(" "):
            self._gap = " "
        if stripped := words.strip(" "):
            self._append(stripped)
            self._gap = " " if words.endswith(" ") else ""

    def write_preformatted(self, text: str, *, collapse: bool = False) -> None:
        """Append text with its line ends, and with its blanks unless `collapse`."""
        for number, line in enumerate(text.replace("\r\n", "\n").replace("\r", "\n").split("\n")):
            if number:
                self.break_line()
            if collapse:
                self.write(line)
            elif line:
                self._append(line.replace("\xa0", " ").translate(_INVISIBLE_CHARACTERS))

    def _append(self, text: str) -> None:
        if self._pieces and self._gap and (self._gap == " " or not self._holds_together(text)):
            text = f" {text}"
        self._gap = ""
        self._count_bytes(count_bytes(text))
        self._pieces.append(text)

    def _count_bytes(self, size: int) -> None:
        self._remaining_bytes -= size
        if self._remaining_bytes < 0:
            raise OutputTooLargeError(TEXT_TOO_LONG)

    def _holds_together(self, text: str) -> bool:
        return text[0] in _CLOSING or self._pieces[-1][-1:] in _OPENING

    def separate(self) -> None:
        """Put a blank before the next word, as at the edge of a box."""
        self._gap = self._gap or "|"

    def break_line(self) -> None:
        """Begin a new line as `<br>` does: the second one leaves a blank line."""
        if not self.end_line():
            self._is_apart = True

    def end_line(self) -> bool:
        """Begin a new line unless this one is empty. Returns whether it had text."""
        self._gap = ""
        if not self._pieces:
            return False
        text = "".join(self._pieces).rstrip()
        self._pieces.clear()
        if _INVISIBLE_LINE.fullmatch(text):
            return False
        indent = "".join(self._indents)
        if self._marker:
            indent = indent[: len(indent) - len(self._marker)] + self._marker
            self._marker = ""
        self._count_bytes(len(indent) + 2)
        self.lines.append(TextLine(indent, text, self._is_apart and bool(self.lines)))
        self._is_apart = False
        return True

    def leave_space(self) -> None:
        """Begin a new line after a blank one."""
        self.end_line()
        self._is_apart = True

    def indent(self, text: str, marker: str = "") -> bool:
        """Begin all further lines with this text, the next one with the marker. Returns False if that is too deep."""
        self.end_line()
        if len(self._indents) >= MAX_INDENTS:
            return False
        self._indents.append(text)
        self._marker = marker
        return True

    def outdent(self) -> None:
        """Undo the last indentation."""
        self.end_line()
        self._indents.pop()
        self._marker = ""

    def get_text_since(self, start: TextPosition) -> str | None:
        """The text written since this position; None if it has more than one line."""
        return "".join(self._pieces[start.piece :]) if start.line == len(self.lines) else None

    def replace_since(self, start: TextPosition, text: str) -> None:
        """Replace the text written since this position in the same line."""
        blank = " " if self._pieces[start.piece].startswith(" ") else ""
        self._count_bytes(count_bytes(text))
        self._pieces[start.piece :] = [blank + text]

    def append_to_last(self, text: str) -> None:
        """Append to the last word, even if its line has ended."""
        self._count_bytes(count_bytes(text))
        if self._pieces:
            self._pieces.append(text)
        else:
            self.lines[-1].text += text

    def join_row(self, cells: list[tuple[int, int]]) -> None:
        """Join the cells of a row (first and last line of each) in one line if all of them are short enough."""
        start, end = cells[0][0], len(self.lines)
        if sum(last - first for first, last in cells) != end - start or any(last - first > 1 for first, last in cells):
            return
        row = self.lines[start:end]
        if len(row) < 2 or len({line.indent for line in row}) > 1:  # noqa: PLR2004 - there is nothing to join
            return
        if sum(len(line.text) > MAX_JOINED_CELL for line in row) < 2:  # noqa: PLR2004 - two long ones are columns of text
            row[0].text = CELL_GAP.join(line.text for line in row)
            del self.lines[start + 1 :]

    def finish(self) -> str:
        """The whole text, which ends with a line end."""
        self.end_line()
        return (
            "\n".join(
                f"\n{line.indent}{line.text}" if line.is_apart else line.indent + line.text for line in self.lines
            )
            + "\n"
        )
