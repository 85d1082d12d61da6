"""Which content types may be attached, and whether a file really has its declared type.

It is an allow-list of types that are known to be harmless to open. Nothing is unpacked: signatures, names in archives,
the encoding of text and the markup of XML are checked.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import puremagic

from notifier.mail.header_fields import FORBIDDEN_IN_HEADER
from notifier.submission import xml_document, zip_archive

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
"""Archives must not be inside an archive, because their contents are not checked."""
INVISIBLE_CHARACTERS = re.compile(f"{FORBIDDEN_IN_HEADER.pattern}|[\t\u202a-\u202e\u2066-\u2069]")
"""Invisible in a name: control characters, and overrides of the writing direction, with which exe.gpj reads jpg.exe.
Scripts that are written from right to left need none of them."""
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
_NOT_TEXT = frozenset({"application/pdf", "application/rtf", "application/postscript"})
_MIN_CONFIDENCE = 0.4  # of 1: four matching bytes; below it "BM" would make an image of every text that begins with it
_WORD = r"[!#$%&'*+.^_`{|}~0-9A-Za-z-]+"
_TYPE = re.compile(rf"[ \t]*({_WORD}/{_WORD})[ \t]*")
_PARAMETER = re.compile(rf';[ \t]*(?:({_WORD})[ \t]*=[ \t]*(?:({_WORD})|"((?:[^"\\\x00-\x1f\x7f]|\\[ -~])*)")[ \t]*)?')
"""A parameter (RFC 2045 §5.1), or an empty one."""
MAX_TYPE_LENGTH = 500
_PARAMETERS_READ = frozenset({"charset", "method"})
"""The others do not change what a file is; they are neither checked nor written."""
_IN_UTF8 = frozenset({"application/json", "application/xml"})
"""Types that are text although their name does not say so."""
_METHODS = frozenset({"publish", "request", "reply", "add", "cancel", "refresh", "counter", "declinecounter"})
_ALIASES = {"image/jpg": "image/jpeg", "application/x-zip-compressed": "application/zip", "text/x-vcard": "text/vcard"}

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
        return None, f"this type cannot be attached; those that can: {', '.join(sorted(_KNOWN))}"
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


def _build_signature_check(essence: str, then: bytes = b"", at: int = 0) -> _Problem:
    """Check the signature by the library's list, and that `then` follows at `at`."""

    def problem(data: bytes) -> str | None:
        is_one = any(match.mime_type == essence for match in _list_signature_matches(data)) and data.startswith(
            then, at
        )
        return None if is_one else f"the content is not {essence}"

    return problem


def _list_signature_matches(data: bytes) -> list[puremagic.PureMagicWithConfidence]:
    try:
        return puremagic.magic_string(data)
    except (puremagic.PureError, ValueError):  # no signature matches, or there is no data
        return []


def _check_pdf(data: bytes) -> str | None:
    """Check that readers open it as PDF: its header is in the first 1,024 bytes, and nothing executable before it."""
    start = data.find(b"%PDF-", 0, _PDF_HEADER_WITHIN)
    if start < 0:
        return f"the content is not application/pdf: %PDF- does not stand in its first {_PDF_HEADER_WITHIN} bytes"
    if data.startswith(_PROGRAMS) or _MARKUP.match(data[:start]):
        return "the content is of another type, which would be shown or run, with a PDF behind it"
    return None


def _build_text_check(beginning: str = "") -> _Problem:
    """Check that it is UTF-8 text that no program shows or runs as anything else."""
    begins = re.compile(b"(?:\xef\xbb\xbf)?" + beginning.encode(), re.IGNORECASE)

    def problem(data: bytes) -> str | None:
        try:
            data.decode()
        except UnicodeDecodeError:
            return "text must be UTF-8"
        if b"\x00" in data:
            return "text has no NUL"
        if _MARKUP.match(data[:_BEGINNING]) or any(
            match.mime_type in _NOT_TEXT and match.confidence >= _MIN_CONFIDENCE
            for match in _list_signature_matches(data)
        ):
            return "the content is of another type, which would be shown or run"
        return None if begins.match(data) else "the content does not begin like one of this type"

    return problem


def _check_xml(data: bytes) -> str | None:
    return _build_text_check(r"\s*<")(data) or xml_document.find_xml_problem(data)


def _check_zip(data: bytes) -> str | None:
    names = zip_archive.list_zip_names(data)
    if names is None:
        return "the content is not a ZIP archive whose contents can be listed"
    for name in names:
        _, dot, extension = name.lower().rpartition("/")[2].rstrip(". ").rpartition(".")
        if (dot and extension in EXECUTABLE_EXTENSIONS | _ARCHIVES) or _escapes_folder(name):
            return f"the archive contains {name[:100]!r}"
    return None


def _escapes_folder(name: str) -> bool:
    """Whether a file of this name could be put elsewhere than where the archive is unpacked, or be read as another."""
    return (
        name.startswith("/") or ".." in name.split("/") or INVISIBLE_CHARACTERS.search(name) is not None or ":" in name
    )


def _build_office_check(folder: str) -> _Problem:
    """Office Open XML: an archive with the folder of that application, and without macros."""

    def problem(data: bytes) -> str | None:
        names = zip_archive.list_zip_names(data) or []
        if "[Content_Types].xml" not in names or not any(name.startswith(folder) for name in names):
            return "the content is not of this type"
        has_macros = any(name.lower().endswith("vbaproject.bin") for name in names)
        return "the document has macros" if has_macros else None

    return problem


def _build_open_document_check(kind: str) -> _Problem:
    """OpenDocument: an archive with a file that says what it is (ODF 1.3 part 2, §3.3), and without macros.

    That file should be the first; readers take it wherever it stands, as long as it is not compressed.
    """
    expected = f"application/vnd.oasis.opendocument.{kind}".encode()

    def problem(data: bytes) -> str | None:
        entries = zip_archive.list_zip_entries(data) or []
        if not any(entry.name == "mimetype" and entry.read_stored(data) == expected for entry in entries):
            return "the content is not of this type"
        has_macros = any(entry.name.startswith(("Basic/", "Scripts/")) for entry in entries)
        return "the document has macros" if has_macros else None

    return problem


_OOXML = "application/vnd.openxmlformats-officedocument"
_ODF = "application/vnd.oasis.opendocument"
_KNOWN: Final[dict[str, tuple[str, _Problem]]] = {
    "application/json": ("json geojson", _build_text_check(r'\s*[\[{"0-9tfn-]')),
    "application/pdf": ("pdf", _check_pdf),
    "application/xml": ("xml", _check_xml),
    "application/zip": ("zip", _check_zip),
    "image/gif": ("gif", _build_signature_check("image/gif")),
    "image/jpeg": ("jpg jpeg jpe jfif", _build_signature_check("image/jpeg")),
    "image/png": ("png", _build_signature_check("image/png")),
    "image/webp": ("webp", _build_signature_check("image/webp", b"WEBP", 8)),
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
"""Type → its extensions, and what is wrong with data that are said to be of it."""
