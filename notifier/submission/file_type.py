"""The content types that may be attached, and the check that a file really has its declared type.

It is an allow-list of types that are known to be harmless to open. Nothing is unpacked.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from xml.parsers import expat

from notifier.mail.header_fields import FORBIDDEN_IN_HEADER
from notifier.mail.image_type import detect_image_type
from notifier.submission import zip_archive

EXECUTABLE_EXTENSIONS: Final = frozenset(
    {
        "ade", "adp", "apk", "app", "appinstaller", "application", "appref-ms", "appx", "appxbundle", "asp", "aspx",
        "bash", "bat", "btm", "cab", "chm", "class", "cmd", "com", "command", "cpl", "csh", "deb", "desktop",
        "diagcab", "diagcfg", "diagpkg", "dll", "dmg", "docm", "dotm", "drv", "elf", "ex", "ex_", "exe", "gadget",
        "hlp", "hta", "htm", "html", "img", "inf", "ins", "iso", "isp", "jar", "jnlp", "js", "jse", "jsp", "ksh",
        "lib", "library-ms", "lnk", "mde", "mht", "mhtml", "mjs", "msc", "msh", "msi", "msix", "msixbundle", "msp",
        "mst", "nsh", "ocx", "one", "osx", "out", "pdb", "php", "pif", "pkg", "pl", "potm", "ppam", "ppsm", "pptm",
        "ps1", "ps1xml", "ps2", "psc1", "psd1", "psm1", "py", "pyc", "pyw", "pyz", "rb", "reg", "rpm", "run", "scf",
        "scpt", "scr", "sct", "search-ms", "settingcontent-ms", "sh", "shb", "shs", "shtml", "sldm", "so", "svg",
        "svgz", "swf", "sys", "theme", "url", "vb", "vbe", "vbs", "vbscript", "vhd", "vhdx", "vxd", "war", "website",
        "wsc", "wsf", "wsh", "xbap", "xht", "xhtm", "xhtml", "xlam", "xll", "xlsb", "xlsm", "xltm", "xsl", "xslt",
        "zsh",
    }
)  # fmt: skip
"""Extensions of programs, scripts, shortcuts, disk images, documents with macros, and what a browser would run."""
_ARCHIVES = frozenset({"7z", "arj", "bz2", "gz", "lzh", "rar", "tar", "tgz", "xz", "z", "zip", "zst"})
"""An archive must not contain archives, because their contents are not checked."""
INVISIBLE_CHARACTERS = re.compile(f"{FORBIDDEN_IN_HEADER.pattern}|[\t\u202a-\u202e\u2066-\u2069]")
"""Control characters, and overrides of the writing direction, which show a name such as exe.gpj as jpg.exe."""
_BEGINNING = 65536
_MARKUP = re.compile(
    rb"(?:\xef\xbb\xbf)?(?>\s*+(?:<\?.*?\?>|<!--.*?-->|<!doctype(?!\s+html)[^>\[]*+(?:\[[^\]]*+\]\s*+)?>))*+"
    rb"\s*+<(?:!doctype\s+html|(?:\w+:)?(?:html|svg|script|head|body|iframe)\b)",
    re.IGNORECASE | re.DOTALL,
)
"""A document whose first element a browser would show or run, after any comments; in linear time."""
_PDF_HEADER_WITHIN = 1024  # bytes (Adobe's PDF reference 1.7, appendix H, note 13)
_PROGRAMS = (b"MZ", b"\x7fELF", b"#!", b"PK\x03\x04", b"\xca\xfe\xba\xbe", b"\xce\xfa\xed\xfe", b"\xcf\xfa\xed\xfe")
"""Signatures of programs, scripts and archives (PE, ELF, Unix, ZIP, Java and Mach-O)."""
_DOCUMENT = re.compile(rb"(?:\xef\xbb\xbf)?\s*+(?:%PDF|\{\\rtf|%!PS)")
"""The signature of a PDF, RTF or PostScript document, which a program would open as such."""
_WORD = r"[!#$%&'*+.^_`{|}~0-9A-Za-z-]+"
_TYPE = re.compile(rf"[ \t]*({_WORD}/{_WORD})[ \t]*")
_PARAMETER = re.compile(rf';[ \t]*(?:({_WORD})[ \t]*=[ \t]*(?:({_WORD})|"((?:[^"\\\x00-\x1f\x7f]|\\[ -~])*)")[ \t]*)?')
"""A parameter (RFC 2045 §5.1), or an empty one."""
MAX_TYPE_LENGTH = 500
_PARAMETERS_READ = frozenset({"charset", "method"})  # others do not change what a file is: neither checked nor written
_IN_UTF8 = frozenset({"application/json", "application/xml"})  # text, although their names do not say so
_MACROS = "the document has macros"
_METHODS = frozenset({"publish", "request", "reply", "add", "cancel", "refresh", "counter", "declinecounter"})
_ALIASES = {"image/jpg": "image/jpeg", "application/x-zip-compressed": "application/zip", "text/x-vcard": "text/vcard"}
MAX_XML_DEPTH: Final = 256  # nesting depth of elements in an attached XML file
MAX_XML_TOKEN: Final = 128 * 1024  # bytes of a tag with its attributes, or of a comment: parsed at once, in 50 ms
_XML_CHUNK_BYTES = 64 * 1024  # bytes parsed in one call; between two calls other threads run
_ACTIVE_NAMESPACES = frozenset(
    {"http://www.w3.org/1999/xhtml", "http://www.w3.org/2000/svg", "http://www.w3.org/1998/math/mathml"}
)
"""Namespaces, in lower case, with elements or attributes that can run scripts."""
_XML_ENCODINGS = frozenset({"utf-8", "utf8", "us-ascii", "ascii", "iso-8859-1", "iso-8859-15", "windows-1252"})
"""Declared encodings in which valid UTF-8 has the same markup."""
_Problem = Callable[[bytes], str | None]


@dataclass(frozen=True, kw_only=True)
class FileType:
    """A type that may be attached."""

    declared: str  # as it is written into the mail
    extensions: frozenset[str]  # that files of this type may have
    find_problem: _Problem  # why the data are not of this type, or None


def parse_file_type(declared: str) -> tuple[FileType | None, str | None]:
    """Parse the declared type: return it, or the problem."""
    match = _TYPE.match(declared) if len(declared) <= MAX_TYPE_LENGTH else None
    if match is None:
        return None, "a media type, such as application/pdf"
    essence = _ALIASES.get(match[1].lower(), match[1].lower())
    if essence not in _KNOWN:
        return None, f"this type cannot be attached. These can: {', '.join(sorted(_KNOWN))}"
    parameters, problem = _parse_parameters(declared[match.end() :])
    is_text = essence.startswith("text/")
    if (is_text or essence in _IN_UTF8) and parameters.get("charset", "utf-8") not in {"utf-8", "utf8", "us-ascii"}:
        problem = problem or "charset: text is attached in UTF-8"
    method = parameters.get("method", "") if essence == "text/calendar" else ""
    if method and method not in _METHODS:
        problem = problem or f"method: of a calendar it is one of {', '.join(sorted(_METHODS)).upper()} (RFC 5546)"
    if problem:
        return None, f"{essence} can be attached, but not with this parameter: {problem}"
    extensions, problem_in = _KNOWN[essence]
    full = essence + ("; charset=utf-8" if is_text else "") + (f"; method={method.upper()}" if method else "")
    return FileType(declared=full, extensions=frozenset(extensions.split()), find_problem=problem_in), None


def _parse_parameters(text: str) -> tuple[dict[str, str], str | None]:
    """The parameters that matter, in lower case, and the syntax problem of any parameter."""
    parameters: dict[str, str] = {}
    position = 0
    while position < len(text):
        match = _PARAMETER.match(text, position)
        if match is None:
            return parameters, f'{text[position:].strip()[:50]!r} is not written as ; name=value or ; name="value"'
        position = match.end()
        name, token, quoted = match.groups()
        if name and (name := name.lower()) in _PARAMETERS_READ:
            if name in parameters:
                return parameters, f"{name} is given twice"
            parameters[name] = (token or re.sub(r"\\(.)", r"\1", quoted)).lower()
    return parameters, None


def _build_image_check(essence: str) -> _Problem:
    """Check the image's signature."""

    def problem(data: bytes) -> str | None:
        return None if detect_image_type(data) == essence else f"the content is not {essence}"

    return problem


def _check_pdf(data: bytes) -> str | None:
    """Check that readers open it as PDF: its header is in the first 1,024 bytes, and nothing executable before it."""
    start = data.find(b"%PDF-", 0, _PDF_HEADER_WITHIN)
    if start < 0:
        return f"the content is not application/pdf: its first {_PDF_HEADER_WITHIN} bytes do not contain %PDF-"
    if data.startswith(_PROGRAMS) or _MARKUP.match(data[:start]):
        return "the content is of another type, which would be shown or run, followed by a PDF"
    return None


def _build_text_check(beginning: str = "") -> _Problem:
    """Check that it is UTF-8 text, and that no program shows or runs it as another type."""
    begins = re.compile(b"(?:\xef\xbb\xbf)?" + beginning.encode(), re.IGNORECASE)

    def problem(data: bytes) -> str | None:
        try:
            data.decode()
        except UnicodeDecodeError:
            return "text must be UTF-8"
        if b"\x00" in data:
            return "text must not contain NUL"
        if _MARKUP.match(data[:_BEGINNING]) or _DOCUMENT.match(data):
            return "the content is of another type, which would be shown or run"
        return None if begins.match(data) else "the content does not begin as this type does"

    return problem


def _check_xml(data: bytes) -> str | None:
    return _build_text_check(r"\s*<")(data) or find_xml_problem(data)


class _RefusedError(ValueError):
    """The XML file has something that is not allowed."""


def find_xml_problem(data: bytes) -> str | None:
    """Say what a browser would run in this file, or why it is not XML; None if it is only data.

    A browser runs scripts in XHTML and SVG elements anywhere in a document, and in a stylesheet that it names.
    """
    parser = expat.ParserCreate(namespace_separator=" ")
    depth = 0

    def enter(_name: str, _attributes: object) -> None:
        nonlocal depth
        depth += 1
        if depth > MAX_XML_DEPTH:
            raise _RefusedError(f"it has more than {MAX_XML_DEPTH} elements within each other")

    def leave(_name: str) -> None:
        nonlocal depth
        depth -= 1

    parser.XmlDeclHandler = _check_encoding
    parser.StartDoctypeDeclHandler = _check_doctype
    parser.ProcessingInstructionHandler = _check_instruction
    parser.StartNamespaceDeclHandler = _check_namespace
    parser.StartElementHandler = enter
    parser.EndElementHandler = leave
    data = data.removeprefix(b"\xef\xbb\xbf").lstrip()  # lenient readers accept blank lines before XML
    try:
        for start in range(0, len(data), _XML_CHUNK_BYTES):
            end = min(start + _XML_CHUNK_BYTES, len(data))
            parser.Parse(data[start:end], end == len(data))
            if end - parser.CurrentByteIndex > MAX_XML_TOKEN:
                return f"it has a tag or a comment of more than {MAX_XML_TOKEN} bytes"
    except _RefusedError as refused:
        return str(refused)
    except expat.ExpatError as error:
        return f"it is not well-formed XML: {expat.ErrorString(error.code)} in line {error.lineno}"
    return None


def _check_encoding(_version: str, encoding: str | None, _standalone: int) -> None:
    if encoding is not None and encoding.lower() not in _XML_ENCODINGS:
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


def _check_zip(data: bytes) -> str | None:
    names = zip_archive.list_zip_names(data)
    if names is None:
        return "the content is not a ZIP archive that every program reads in the same way"
    for name in names:
        _, dot, extension = name.lower().rpartition("/")[2].rstrip(". ").rpartition(".")
        if (dot and extension in EXECUTABLE_EXTENSIONS | _ARCHIVES) or _escapes_folder(name):
            return f"the archive contains {name[:100]!r}"
    return None


def _escapes_folder(name: str) -> bool:
    """Whether a file of this name could be written outside the folder of the archive, or be taken for another."""
    return name.startswith("/") or ".." in name.split("/") or ":" in name or bool(INVISIBLE_CHARACTERS.search(name))


def _build_office_check(folder: str) -> _Problem:
    """Office Open XML: an archive with the folder of that application, and without macros."""

    def problem(data: bytes) -> str | None:
        names = zip_archive.list_zip_names(data) or []
        if "[Content_Types].xml" not in names or not any(name.startswith(folder) for name in names):
            return "the content is not of this type"
        return _MACROS if any(name.lower().endswith("vbaproject.bin") for name in names) else None

    return problem


def _build_open_document_check(kind: str) -> _Problem:
    """OpenDocument: an archive with a file that says what it is (ODF 1.3 part 2, §3.3), and without macros.

    Readers take that file wherever it stands, as long as it is not compressed.
    """
    expected = f"application/vnd.oasis.opendocument.{kind}".encode()

    def problem(data: bytes) -> str | None:
        entries = zip_archive.list_zip_entries(data) or []
        if not any(entry.name == "mimetype" and entry.read_stored(data) == expected for entry in entries):
            return "the content is not of this type"
        return _MACROS if any(entry.name.startswith(("Basic/", "Scripts/")) for entry in entries) else None

    return problem


_OOXML = "application/vnd.openxmlformats-officedocument"
_ODF = "application/vnd.oasis.opendocument"
_KNOWN: Final[dict[str, tuple[str, _Problem]]] = {
    "application/json": ("json geojson", _build_text_check(r'\s*[\[{"0-9tfn-]')),
    "application/pdf": ("pdf", _check_pdf),
    "application/xml": ("xml", _check_xml),
    "application/zip": ("zip", _check_zip),
    "image/gif": ("gif", _build_image_check("image/gif")),
    "image/jpeg": ("jpg jpeg jpe jfif", _build_image_check("image/jpeg")),
    "image/png": ("png", _build_image_check("image/png")),
    "image/webp": ("webp", _build_image_check("image/webp")),
    "text/calendar": ("ics", _build_text_check(r"\s*BEGIN:VCALENDAR")),
    "text/csv": ("csv", _build_text_check()),
    "text/plain": ("txt text log md markdown csv tsv yaml yml toml ini conf sql diff patch", _build_text_check()),
    "text/vcard": ("vcf", _build_text_check(r"\s*BEGIN:VCARD")),
    "text/xml": ("xml", _check_xml),
    f"{_OOXML}.wordprocessingml.document": ("docx", _build_office_check("word/")),
    f"{_OOXML}.spreadsheetml.sheet": ("xlsx", _build_office_check("xl/")),
    f"{_OOXML}.presentationml.presentation": ("pptx", _build_office_check("ppt/")),
    f"{_ODF}.text": ("odt", _build_open_document_check("text")),
    f"{_ODF}.spreadsheet": ("ods", _build_open_document_check("spreadsheet")),
    f"{_ODF}.presentation": ("odp", _build_open_document_check("presentation")),
}
"""Type → its extensions, and the check of its data."""
