"""Workbooks written by hand, XLSX and ODS, so that a test can make any mistake in them."""

import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from xml.sax.saxutils import escape, quoteattr

Cell = str | float | bool | date | None
_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_RELATIONS = "http://schemas.openxmlformats.org/package/2006/relationships"
_DOCUMENT = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_TYPES = "http://schemas.openxmlformats.org/package/2006/content-types"
_WORKBOOK_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml"
_ODF = "urn:oasis:names:tc:opendocument:xmlns"
ODS_TYPE = "application/vnd.oasis.opendocument.spreadsheet"
_EPOCH = datetime(1899, 12, 30)  # noqa: DTZ001 - a workbook knows no zones
_HIDDEN_SHEET, _HIDDEN_TABLE = ' state="hidden"', ' table:style-name="hidden"'
_DATE_STYLE, _MOMENT_STYLE = 1, 2


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """One sheet: its rows as XML, by `write_xlsx_row` or `write_ods_row`."""

    rows: Sequence[str]
    name: str = "Sheet1"
    is_hidden: bool = False
    after: str = ""  # XML behind the rows


def write_xlsx_row(number: int, *cells: Cell, attributes: str = "") -> str:
    """Write a row of a worksheet; a string that begins with `<c` is taken as it is."""
    return (
        f'<row r="{number}" {attributes}>'
        + "".join(_write_xlsx_cell(*place) for place in _place(number, cells))
        + ("</row>")
    )


def _place(number: int, cells: Sequence[Cell]) -> list[tuple[str, Cell]]:
    letters = [(f"A{chr(ord('A') + index - 26)}" if index > 25 else chr(ord("A") + index)) for index in range(40)]
    return [(f"{letter}{number}", cell) for letter, cell in zip(letters, cells, strict=False)]


def _write_xlsx_cell(reference: str, cell: Cell) -> str:
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return f'<c r="{reference}" t="b"><v>{int(cell)}</v></c>'
    if isinstance(cell, datetime):
        days = (cell - _EPOCH).total_seconds() / 86400
        return f'<c r="{reference}" s="{_MOMENT_STYLE}"><v>{days!r}</v></c>'
    if isinstance(cell, date):
        return f'<c r="{reference}" s="{_DATE_STYLE}"><v>{(cell - _EPOCH.date()).days}</v></c>'
    if isinstance(cell, int | float):
        return f'<c r="{reference}"><v>{cell!r}</v></c>'
    return (
        cell
        if cell.startswith("<c")
        else f'<c r="{reference}" t="inlineStr"><is><t xml:space="preserve">{escape(cell)}</t></is></c>'
    )


def build_xlsx(*sheets: Sheet, parts: Mapping[str, str | bytes] | None = None) -> bytes:
    """Build an XLSX file; `parts` are added, or take the place of parts of the same name."""
    listed = "".join(
        f'<sheet name={quoteattr(sheet.name)} sheetId="{number}" r:id="rId{number}"'
        f"{_HIDDEN_SHEET if sheet.is_hidden else ''}/>"
        for number, sheet in enumerate(sheets, 1)
    )
    relations = "".join(
        f'<Relationship Id="rId{number}" Type="{_DOCUMENT}/worksheet" Target="worksheets/sheet{number}.xml"/>'
        for number in range(1, len(sheets) + 1)
    )
    files: dict[str, str | bytes] = {
        "[Content_Types].xml": f'<Types xmlns="{_TYPES}"><Default Extension="xml" ContentType="application/xml"/>'
        f'<Override PartName="/xl/workbook.xml" ContentType="{_WORKBOOK_TYPE}.sheet.main+xml"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{_RELATIONS}"><Relationship Id="rId1" Type="{_DOCUMENT}/officeDocument"'
        ' Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{_MAIN}" xmlns:r="{_DOCUMENT}"><sheets>{listed}</sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{_RELATIONS}">{relations}'
        f'<Relationship Id="rId99" Type="{_DOCUMENT}/styles" Target="styles.xml"/></Relationships>',
        "xl/styles.xml": f'<styleSheet xmlns="{_MAIN}"><cellXfs count="3"><xf numFmtId="0"/><xf numFmtId="14"/>'
        '<xf numFmtId="22"/></cellXfs></styleSheet>',
    }
    for number, sheet in enumerate(sheets, 1):
        files[f"xl/worksheets/sheet{number}.xml"] = (
            f'<worksheet xmlns="{_MAIN}"><sheetData>{"".join(sheet.rows)}</sheetData>{sheet.after}</worksheet>'
        )
    return pack_zip(files | dict(parts or {}))


def write_ods_row(*cells: Cell, attributes: str = "") -> str:
    """Write a row of an OpenDocument table; a string that begins with `<table:` is taken as it is."""
    return f"<table:table-row {attributes}>{''.join(map(_write_ods_cell, cells))}</table:table-row>"


def _write_ods_cell(cell: Cell) -> str:
    if cell is None:
        return "<table:table-cell/>"
    if isinstance(cell, bool):
        kind = f'office:value-type="boolean" office:boolean-value="{str(cell).lower()}"'
    elif isinstance(cell, date):
        kind = f'office:value-type="date" office:date-value="{cell.isoformat()}"'
    elif isinstance(cell, int | float):
        kind = f'office:value-type="float" office:value="{cell!r}"'
    elif cell.startswith("<table:"):
        return cell
    else:
        kind = 'office:value-type="string"'
    return f"<table:table-cell {kind}><text:p>{escape(str(cell))}</text:p></table:table-cell>"


def build_ods(*sheets: Sheet, parts: Mapping[str, str | bytes] | None = None) -> bytes:
    """Build an ODS file; `parts` are added, or take the place of parts of the same name."""
    tables = "".join(
        f"<table:table table:name={quoteattr(sheet.name)}{_HIDDEN_TABLE if sheet.is_hidden else ''}>"
        f"{''.join(sheet.rows)}</table:table>"
        for sheet in sheets
    )
    names = "".join(f' xmlns:{name}="{_ODF}:{name}:1.0"' for name in ("office", "table", "text", "style"))
    styles = (
        '<office:automatic-styles><style:style style:name="hidden" style:family="table">'
        '<style:table-properties table:display="false"/></style:style></office:automatic-styles>'
    )
    content = (
        f'<office:document-content{names} xmlns:calcext="urn:org:documentfoundation:names:experimental:calc:xmlns:'
        f'calcext:1.0">{styles}<office:body><office:spreadsheet>{tables}</office:spreadsheet></office:body>'
        "</office:document-content>"
    )
    files: dict[str, str | bytes] = {
        "mimetype": ODS_TYPE,
        "content.xml": content,
        "META-INF/manifest.xml": f'<manifest:manifest xmlns:manifest="{_ODF}:manifest:1.0">'
        f'<manifest:file-entry manifest:full-path="/" manifest:media-type="{ODS_TYPE}"/></manifest:manifest>',
    }
    return pack_zip(files | dict(parts or {}))


def pack_zip(files: Mapping[str, str | bytes]) -> bytes:
    """Pack files into a ZIP archive, in their order."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return packed.getvalue()
