"""Check that an XML file is only data: nothing in it is run by a browser.

A browser runs scripts in XHTML and SVG elements anywhere in a document, and in a stylesheet that it names. The file is
parsed with Expat, as browsers do.
"""

from typing import Final
from xml.parsers import expat

MAX_XML_DEPTH: Final = 256
"""Nesting depth of elements in an attached XML file."""
MAX_XML_TOKEN: Final = 128 * 1024
"""Bytes of a tag with its attributes, or of a comment, in an attached XML file: parsed at once, in 50 ms."""
_CHUNK_BYTES = 64 * 1024  # bytes parsed in one call; between two calls other threads run
_ACTIVE_NAMESPACES = frozenset(
    {"http://www.w3.org/1999/xhtml", "http://www.w3.org/2000/svg", "http://www.w3.org/1998/math/mathml"}
)
"""Namespaces, in lower case, with elements or attributes that can run scripts."""
_ENCODINGS = frozenset({"utf-8", "utf8", "us-ascii", "ascii", "iso-8859-1", "iso-8859-15", "windows-1252"})
"""Declared encodings in which valid UTF-8 has the same markup."""


class _RefusedError(ValueError):
    """The file has something that is not allowed."""


def find_xml_problem(data: bytes) -> str | None:
    """What a browser would run in this file, or why it is not XML; None if it is only data."""
    parser = expat.ParserCreate(namespace_separator=" ")
    depth = _DepthCounter()
    parser.XmlDeclHandler = _check_encoding
    parser.StartDoctypeDeclHandler = _check_doctype
    parser.ProcessingInstructionHandler = _check_instruction
    parser.StartNamespaceDeclHandler = _check_namespace
    parser.StartElementHandler = depth.enter
    parser.EndElementHandler = depth.leave
    data = data.removeprefix(b"\xef\xbb\xbf").lstrip()  # lenient readers accept blank lines before XML
    try:
        for start in range(0, len(data), _CHUNK_BYTES):
            end = min(start + _CHUNK_BYTES, len(data))
            parser.Parse(data[start:end], end == len(data))
            if end - parser.CurrentByteIndex > MAX_XML_TOKEN:
                return f"it has a tag or a comment of more than {MAX_XML_TOKEN} bytes"
    except _RefusedError as refused:
        return str(refused)
    except expat.ExpatError as error:
        return f"it is not well-formed XML: {expat.ErrorString(error.code)} in line {error.lineno}"
    return None


class _DepthCounter:
    """The nesting depth of the parser."""

    def __init__(self) -> None:
        self._now = 0

    def enter(self, _name: str, _attributes: object) -> None:
        self._now += 1
        if self._now > MAX_XML_DEPTH:
            raise _RefusedError(f"it has more than {MAX_XML_DEPTH} elements within each other")

    def leave(self, _name: str) -> None:
        self._now -= 1


def _check_encoding(_version: str, encoding: str | None, _standalone: int) -> None:
    if encoding is not None and encoding.lower() not in _ENCODINGS:
        raise _RefusedError("it says that it is not in UTF-8")


def _check_doctype(_name: str, _system: str | None, _public: str | None, has_declarations: int) -> None:
    if has_declarations:
        raise _RefusedError("its DOCTYPE has declarations, which could hide what a browser would run")


def _check_instruction(target: str, _text: str) -> None:
    if target.lower().startswith("xml-stylesheet"):
        raise _RefusedError("it names a stylesheet, which a browser would run")


def _check_namespace(_prefix: str | None, uri: str | None) -> None:
    if uri is not None and uri.strip().lower() in _ACTIVE_NAMESPACES:
        raise _RefusedError(f"it has elements of {uri.strip()}, which a browser would show and run")
