"""The XML of a workbook: how its elements are walked, and which part holds a sheet."""

import posixpath
import zipfile
from collections.abc import Callable, Mapping
from xml.parsers import expat

from notifier.spreadsheet.sheet_row import SpreadsheetError
from notifier.spreadsheet.workbook_archive import DAMAGED, build_xml_parser

ElementStart = Callable[[str, Mapping[str, str]], None]
ElementEnd = Callable[[str], None]


def walk_elements(archive: zipfile.ZipFile, part: str, start: ElementStart, end: ElementEnd | None = None) -> None:
    """Call `start` with the name and the attributes of each element, as written, and `end` with its name.

    Raises `SpreadsheetError` if the part is missing or no XML, or has a document type, which could define entities.
    """
    parser = build_xml_parser()
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    try:
        with archive.open(part) as stream:
            parser.ParseFile(stream)
    except (KeyError, expat.ExpatError) as error:
        raise SpreadsheetError(DAMAGED) from error


def get_local_name(name: str) -> str:
    """Get the name of an element without its prefix."""
    return name.rpartition(":")[2]


def find_xlsx_sheet(archive: zipfile.ZipFile, sheet: str) -> str:
    """Find the name of the part that holds a sheet (ECMA-376 part 1 §18.2.19). Raises `SpreadsheetError`."""
    ids: list[str] = []
    targets: dict[str, str] = {}

    def read_sheet(name: str, attributes: Mapping[str, str]) -> None:
        if get_local_name(name) == "sheet" and attributes.get("name") == sheet:
            ids.extend(value for key, value in attributes.items() if key.endswith(":id"))

    def read_relationship(name: str, attributes: Mapping[str, str]) -> None:
        if get_local_name(name) == "Relationship":
            targets[attributes.get("Id", "")] = attributes.get("Target", "")

    walk_elements(archive, "xl/workbook.xml", read_sheet)
    walk_elements(archive, "xl/_rels/workbook.xml.rels", read_relationship)
    target = targets.get(ids[0]) if ids else None
    if not target:
        raise SpreadsheetError(DAMAGED)
    return target.lstrip("/") if target.startswith("/") else posixpath.normpath(posixpath.join("xl", target))
