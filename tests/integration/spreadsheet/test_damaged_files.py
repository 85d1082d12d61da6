"""Files that were damaged at random: their rows, or a sentence, and never another error or an endless loop."""

import io
import random
import zipfile
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from support.workbook_builder import Sheet, build_ods, build_xlsx, pack_zip, write_ods_row, write_xlsx_row

from notifier.spreadsheet.sheet_opening import open_sheet
from notifier.spreadsheet.sheet_row import SpreadsheetError

FILES_PER_SEED = 60
_DAY = date(2026, 1, 2)
_HEAD = ("a", "b", "c")
_WORKBOOKS = (
    build_xlsx(
        Sheet(rows=[write_xlsx_row(1, *_HEAD), *(write_xlsx_row(n, f"x{n}", n * 1.5, _DAY) for n in range(2, 20))])
    ),
    build_ods(Sheet(rows=[write_ods_row(*_HEAD), *(write_ods_row(f"x{n}", n * 1.5, _DAY) for n in range(2, 20))])),
)
_TEXTS = (
    'a;b;c\r\nä;"x\r\ny";3\r\n'.encode() * 20,
    "a,b\nJürgen,5\n".encode("cp1252") * 10,
    "a\tb\n1\t2\n".encode("utf-16") * 5,
)


def _damage(source: random.Random, content: bytes) -> bytes:
    """Change, leave out and insert some bytes, or cut the end off."""
    damaged = bytearray(content)
    for _ in range(source.choice((1, 1, 2, 5, 20))):
        place = source.randrange(len(damaged) + 1)
        match source.randrange(8):
            case 0:
                del damaged[place:]
            case 1 | 2:
                del damaged[place : place + source.randrange(30)]
            case 3 | 4:
                damaged[place:place] = bytes(source.choices(b'<>"&;=0\x00\xff\n\r1', k=source.randrange(1, 8)))
            case _:
                damaged[place : place + 1] = bytes([source.choice((source.randrange(256), 0, 34, 59, 60, 255))])
    return bytes(damaged)


def _damage_part(source: random.Random, content: bytes) -> bytes:
    """Damage one part of a workbook, in an archive that is whole."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        damaged = source.choice(archive.namelist())
        return pack_zip(
            {
                name: _damage(source, archive.read(name)) if name == damaged else archive.read(name)
                for name in archive.namelist()
            }
        )


KINDS: dict[str, Callable[[random.Random], bytes]] = {
    "texts": lambda source: _damage(source, source.choice(_TEXTS)),
    "archives": lambda source: _damage(source, source.choice(_WORKBOOKS)),
    "parts of workbooks": lambda source: _damage_part(source, source.choice(_WORKBOOKS)),
}


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files_are_read_or_refused(tmp_path: Path, kind: str, seed: int) -> None:
    """Each file gives rows as wide as its headings, or one short sentence."""
    source = random.Random(seed)
    path = tmp_path / "upload"
    sentences = []
    for _ in range(FILES_PER_SEED):
        path.write_bytes(KINDS[kind](source))
        try:
            info, rows = open_sheet(path, 1000)
            assert all(len(row.cells) == len(info.headings) for row in rows)
        except SpreadsheetError as error:
            sentences.append(str(error))
    assert len(sentences) > FILES_PER_SEED // 10
    assert all(sentence.isprintable() and len(sentence) < 400 for sentence in sentences)
