"""Which encoding a text file has: its mark, UTF-8 if the whole file is, else the one that its letters tell."""

import codecs
from collections.abc import Iterator
from pathlib import Path

from charset_normalizer import from_bytes

from notifier.spreadsheet.language_letters import detect_by_letters
from notifier.spreadsheet.sheet_row import SpreadsheetError

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark its own begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CHUNK_BYTES = 1024 * 1024
_SAMPLE_BYTES = 256 * 1024
_MAX_LINE_BYTES = 16 * 1024  # of a line in the sample
_MIN_NUL_SHARE = 0.2  # of the bytes of UTF-16, where most letters are ASCII
_OTHER_ALPHABETS = ["cp1251", "koi8_r", "cp1253"]
_MIN_COHERENCE = 0.4  # of a text with its language, by charset-normalizer
_SAVE_AGAIN = "Save it as CSV (UTF-8), or as .xlsx."


def detect_encoding(path: Path) -> str:
    """Detect the encoding, as Python names it; the whole file can be decoded with it. Raises `SpreadsheetError`."""
    with path.open("rb") as stream:
        start = stream.read(4096)
    for mark, encoding in _MARKS:
        if start.startswith(mark):
            return _require_decoding(path, encoding)
    if b"\x00" in start:
        return _require_decoding(path, _detect_utf_16(start))
    fault = _find_fault(path, "utf-8")
    if fault is None:
        return "utf-8"
    sample = _take_sample(path)
    _check_is_not_damaged_utf_8(path, fault, sample)
    likely = detect_by_letters(sample) or _detect_other_alphabet(sample)
    if likely is None:
        raise SpreadsheetError(f"The file is not UTF-8, and which encoding it has cannot be told. {_SAVE_AGAIN}")
    return _require_decoding(path, likely)


def _find_fault(path: Path, encoding: str) -> int | None:
    """Find about where the file cannot be decoded: the bytes before; None if it can be."""
    decoder = codecs.getincrementaldecoder(encoding)()
    position = 0
    with path.open("rb") as stream:
        try:
            while chunk := stream.read(_CHUNK_BYTES):
                pending = len(decoder.getstate()[0])
                decoder.decode(chunk)
                position += len(chunk)
            pending = len(decoder.getstate()[0])
            decoder.decode(b"", final=True)
        except UnicodeDecodeError as error:
            return position - pending + error.start
        except UnicodeError:  # a mark of UTF-16 that is not at the start of a character
            return position
    return None


def _require_decoding(path: Path, encoding: str) -> str:
    fault = _find_fault(path, encoding)
    if fault is not None:
        raise SpreadsheetError(
            f"The file begins as {encoding.upper()} but is not throughout (byte {fault + 1:,}), so it is damaged or cut"
            f" off. {_SAVE_AGAIN}"
        )
    return encoding


def _detect_utf_16(start: bytes) -> str:
    """Detect the order of the bytes of UTF-16 without a mark, in which every second byte of ASCII is NUL."""
    even, odd = start[0::2].count(0), start[1::2].count(0)
    if even + odd < _MIN_NUL_SHARE * len(start) or (even and odd):
        raise SpreadsheetError(
            f"The file holds NUL characters, so this is no text file or it is damaged. {_SAVE_AGAIN}"
        )
    return "utf-16-le" if odd else "utf-16-be"


def _take_sample(path: Path) -> bytes:
    """Take the lines with bytes beyond ASCII, from the whole file, up to a limit."""
    lines: list[bytes] = []
    size = 0
    for line in _iterate_lines(path):
        if not line.isascii():
            lines.append(line)
            size += len(line)
            if size > _SAMPLE_BYTES:
                break
    return b"".join(lines)


def _iterate_lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        while line := stream.readline(_MAX_LINE_BYTES):
            yield line


def _check_is_not_damaged_utf_8(path: Path, fault: int, sample: bytes) -> None:
    """Raise for a file that is UTF-8 but for a few bytes: another encoding would spoil all other names."""
    text = sample.decode("utf-8", "surrogateescape")
    beyond = [letter for letter in text if not letter.isascii()]
    broken = sum("\udc80" <= letter <= "\udcff" for letter in beyond)
    if broken * 2 > len(beyond):
        return
    if fault >= path.stat().st_size - 3:
        raise SpreadsheetError(
            "The file ends in the middle of a character. It seems to be cut off: save or upload it again."
        )
    line = _count_line_ends(path, fault) + 1
    raise SpreadsheetError(
        f"The file is UTF-8, but line {line} holds bytes that are not, perhaps pasted from another file. {_SAVE_AGAIN}"
    )


def _count_line_ends(path: Path, before: int) -> int:
    """Count the line ends before a byte."""
    count = 0
    with path.open("rb") as stream:
        while chunk := stream.read(min(_CHUNK_BYTES, before - stream.tell())):
            count += chunk.count(b"\n")
    return count


def _detect_other_alphabet(sample: bytes) -> str | None:
    """Detect Cyrillic and Greek encodings, with the statistics of charset-normalizer."""
    match = from_bytes(sample, cp_isolation=_OTHER_ALPHABETS).best()
    return match.encoding if match is not None and match.coherence >= _MIN_COHERENCE else None
