"""Which file types may be attached, and whether a file's content matches its declared type."""

import io
import zipfile

import pytest
from support import attachment_files
from support.attachment_files import EXE, FILES, JPEG, ODF, OOXML, PDF, build_zip

from notifier.submission.file_type import FileType, parse_file_type
from notifier.submission.zip_archive import MAX_ZIP_ENTRIES

WAV = b"RIFF\x24\x00\x00\x00WAVEfmt \x10\x00\x00\x00"
WORD = f"{OOXML}.wordprocessingml.document"


def kind(declared: str) -> FileType:
    """Return the allowed type."""
    file_type, problem = parse_file_type(declared)
    assert (file_type is None) == (problem is not None)
    assert file_type is not None, problem
    return file_type


@pytest.mark.parametrize("declared", FILES)
def test_a_file_is_of_its_own_type(declared: str) -> None:
    """Each type accepts its sample file and an extension of the type."""
    name, data = FILES[declared]
    assert kind(declared).find_problem(data) is None
    assert name.rpartition(".")[2] in kind(declared).extensions


@pytest.mark.parametrize("declared", FILES)
def test_a_file_is_of_no_other_type(declared: str) -> None:
    """A file with a signature is accepted as no other type, and only text is accepted as text."""
    texts = {"application/json", "application/xml", "text/csv", "text/plain", "text/xml", "text/calendar", "text/vcard"}
    plain = {"text/plain", "text/csv"}
    for other, (_, data) in FILES.items():
        fits = kind(declared).find_problem(data) is None
        if declared in plain:
            assert fits == (other in texts)
        elif declared == "application/zip":
            assert fits == (other.startswith(("application/zip", OOXML, ODF)))
        elif declared.endswith("/xml"):
            assert fits == other.endswith("/xml")
        else:
            assert fits == (other == declared)


@pytest.mark.parametrize("declared", FILES)
@pytest.mark.parametrize(
    "data", [b"\x00", EXE, WAV, b"\xff\xfe<\x00a\x00", *(EXE + data for _, data in FILES.values())]
)
def test_a_program_is_of_no_type(declared: str, data: bytes) -> None:
    """A program is refused as any type, also with another file appended; so is data that only begins like a type."""
    assert kind(declared).find_problem(data) is not None


@pytest.mark.parametrize(
    ("declared", "full"),
    [
        ("application/pdf ", "application/pdf"),
        ("Text/Plain", "text/plain; charset=utf-8"),
        ("text/csv; charset=UTF-8", "text/csv; charset=utf-8"),
        ('text/plain;charset="us-ascii"', "text/plain; charset=utf-8"),
        ("text/calendar; method=request; charset=utf-8", "text/calendar; charset=utf-8; method=REQUEST"),
        ("image/jpg", "image/jpeg"),
        ("application/x-zip-compressed", "application/zip"),
        ("application/json", "application/json"),
        ('application/pdf; name="invoice.pdf"', "application/pdf"),
        ('Application/PDF;NAME="a;b\\"c.pdf"; x=y;', "application/pdf"),
        ("application/pdf; name*=utf-8''Rechnung%20M%C3%A4rz.pdf", "application/pdf"),
        ('application/pdf; name="Rechnung M\u00e4rz.pdf"', "application/pdf"),
        ("application/pdf; charset=binary", "application/pdf"),
        ("text/csv; charset=utf-8; header=present", "text/csv; charset=utf-8"),
        ("text/plain; format=flowed; delsp=yes", "text/plain; charset=utf-8"),
        ('text/calendar; component=VEVENT; method="REQUEST"', "text/calendar; charset=utf-8; method=REQUEST"),
        ("text/vcard; version=4.0", "text/vcard; charset=utf-8"),
        ("text/plain; method=REQUEST", "text/plain; charset=utf-8"),
        ('application/xml; charset="UTF-8"; profile="https://a.example/p;q"', "application/xml"),
        ("application/json ; charset = utf-8", "application/json"),
    ],
)
def test_a_type_is_written_one_way(declared: str, full: str) -> None:
    """A type is normalised: lower case, a charset for text, a method for calendars, old names replaced."""
    assert kind(declared).declared == full


@pytest.mark.parametrize(
    "declared",
    [
        "",
        "pdf",
        "application/octet-stream",
        "application/x-msdownload",
        "text/html",
        "image/svg+xml",
        "application/javascript",
        "application/pdf\r\nX: y",
        "application/pdf; name",
        "application/pdf name=a",
        "application/pdf; name=two words",
        'application/pdf; name="not closed',
        'application/pdf; name="a\r\nX: y"',
        "text/plain; charset=latin-1",
        "text/plain; charset=utf-8; charset=utf-8",
        "application/xml; charset=iso-8859-1",
        "text/html; charset=utf-8",
        "text/calendar; method=steal",
        "application/pdf;" + " " * 500,
        "multipart/mixed",
        "message/rfc822",
    ],
)
def test_other_types_are_refused(declared: str) -> None:
    """Types that are not on the list and unknown parameters are refused."""
    file_type, problem = parse_file_type(declared)
    assert file_type is None
    assert problem


@pytest.mark.parametrize(
    "text",
    [
        "<!DOCTYPE html><p>",
        "\ufeff<html>",
        " \n<svg xmlns='x'>",
        "<?xml version='1.0'?><svg>",
        "<!-- a --><!-- b --><svg>",
        "<!DOCTYPE svg PUBLIC 'a' 'b'>\n<svg>",
        "<!DOCTYPE a [<!ENTITY b 'c'>] ><x:svg>",
        "<script>",
        "%PDF-1.7\n",
        "\ufeff\n%PDF-1.7\n",
        "{\\rtf1 a}",
        "%!PS-Adobe-3.0\n",
        "a\x00b",
    ],
)
def test_text_that_is_something_else_is_refused(text: str) -> None:
    """Text that a browser would show or run, or that another program would, is refused."""
    assert kind("text/plain").find_problem(text.encode()) is not None
    assert kind("text/xml").find_problem(text.encode()) is not None


@pytest.mark.parametrize(
    "text", ["<a> is a letter", "a <svg> within", "<!-- only", "#!/bin/sh\n", "GIF files", "", "<htmlish/>"]
)
def test_text_that_only_looks_like_it_passes(text: str) -> None:
    """Text that only mentions such words is accepted."""
    assert kind("text/plain").find_problem(text.encode()) is None


@pytest.mark.parametrize(
    "text", ["<!doctype" + " " * 65000, "<!--" * 16000, "<?" * 32000, "<!---->" * 9000, " " * 65000]
)
def test_no_text_takes_long(text: str) -> None:
    """Checking a text takes linear time, whatever its content."""
    assert kind("text/plain").find_problem(text.encode()) is None


@pytest.mark.parametrize(
    ("declared", "data"),
    [
        (WORD, attachment_files.build_office_document("xl")),
        (WORD, build_zip({"word/document.xml": "a"})),
        (WORD, attachment_files.build_office_document("word", **{"word/vbaProject.bin": "a"})),
        (f"{ODF}.text", attachment_files.build_open_document("spreadsheet")),
        (f"{ODF}.text", attachment_files.build_open_document("text", "Basic/a.xml")),
        (f"{ODF}.text", attachment_files.build_open_document("text", "Scripts/a.py")),
    ],
)
def test_documents_with_macros_or_of_another_program_are_refused(declared: str, data: bytes) -> None:
    """The names inside the archive show that the document is refused."""
    assert kind(declared).find_problem(data) is not None


@pytest.mark.parametrize(
    "name", ["a.exe", "b/a.JS", "b\\a.exe", "a.exe. ", "a.zip", "../a.txt", "b/../../a.txt", "a.pdf.exe"]
)
def test_what_an_archive_may_not_contain(name: str) -> None:
    """An archive with programs, other archives or names that leave its folder is refused."""
    assert "contains" in (kind("application/zip").find_problem(build_zip({"ok.txt": "a", name: "b"})) or "")


def test_an_archive_that_programs_read_differently_is_refused() -> None:
    """The directory of an archive must be complete, in its place and not hidden."""
    problem_in = kind("application/zip").find_problem
    fine = build_zip({"a.txt": "a", "b.txt": "b"})
    end = fine.rindex(b"PK\x05\x06")
    first = fine.index(b"PK\x01\x02")
    broken = [
        fine[:-1],
        fine + b"x",
        fine[:end],
        fine[:4],
        JPEG + fine,
        PDF + fine,
        build_zip({}),
        fine[:first] + b"PK\x01\x03" + fine[first + 4 :],
        fine[: end + 10] + b"\x01\x00" + fine[end + 12 :],  # one entry counted, two there
        fine[: end + 12] + b"\x01" + fine[end + 13 :],  # another size than that of the directory
        fine[: end + 10] + b"\x03\x00" + fine[end + 12 :],
        fine[: end + 10] + b"\xff\xff" + fine[end + 12 :],
    ]
    assert problem_in(fine) is None
    assert [number for number, data in enumerate(broken) if problem_in(data) is None] == []


def test_an_archive_of_very_many_files_is_refused() -> None:
    """The number of files is limited so that reading the names is fast."""
    problem_in = kind("application/zip").find_problem
    assert problem_in(build_zip({f"{number}.txt": "" for number in range(MAX_ZIP_ENTRIES)})) is None
    assert problem_in(build_zip({f"{number}.txt": "" for number in range(MAX_ZIP_ENTRIES + 1)})) is not None


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ("text/plain; charset=latin-1", "charset"),
        ("text/calendar; method=steal", "method"),
        ("text/plain; charset=utf-8; charset=utf-8", "charset is given twice"),
        ("application/pdf; name", "'name'"),
        ("application/pdf; name=two words", "'words'"),
        ('application/pdf; name="not closed', "not closed"),
    ],
)
def test_a_parameter_that_is_the_reason_is_named(declared: str, message: str) -> None:
    """The error names the parameter and does not list the type itself as an alternative."""
    _, problem = parse_file_type(declared)
    assert problem is not None
    assert problem.startswith(f"{declared.partition(';')[0]} can be attached, but not with this parameter: ")
    assert message in problem


def _odf(*, compressed: bool = False, extra: bytes = b"", last: bool = False) -> bytes:
    """Build an OpenDocument file whose first entry does not follow the standard."""
    target = io.BytesIO()
    mimetype = zipfile.ZipInfo("mimetype")
    mimetype.extra = extra
    mimetype.compress_type = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
    with zipfile.ZipFile(target, "w") as written:
        if last:
            written.writestr("content.xml", "<x/>")
        written.writestr(mimetype, f"{ODF}.text")
        written.writestr("META-INF/manifest.xml", "<x/>")
    return target.getvalue()


LENIENT = {
    "PDF behind a blank line": ("application/pdf", b"\r\n\n" + PDF),
    "PDF behind a byte order mark": ("application/pdf", b"\xef\xbb\xbf" + PDF),
    "PDF behind a printer's commands": ("application/pdf", b"\x1b%-12345X@PJL ENTER LANGUAGE=PDF\r\n" + PDF),
    "PDF behind NULs": ("application/pdf", bytes(128) + PDF),
    "PDF in the last place": ("application/pdf", b" " * 1019 + PDF),
    "JPEG of a camera": ("image/jpeg", bytes.fromhex("ffd8ffe10016457869660000") + JPEG[11:]),
    "JPEG without a header": ("image/jpeg", bytes.fromhex("ffd8ffdb0043") + JPEG[11:]),
    "JPEG of Adobe": ("image/jpeg", bytes.fromhex("ffd8ffee000e41646f6265") + JPEG[11:]),
    "CSV with a byte order mark": ("text/csv", b"\xef\xbb\xbfa,b\n"),
    "CSV that begins as an archive": ("text/csv", b"PK,Name\n1,Ada\n"),
    "CSV that begins as a program": ("text/csv", b"MZ;Name\n1;Ada\n"),
    "XML behind blank lines": ("application/xml", b"\n\n<?xml version='1.0'?><a/>"),
    "XML behind a comment": ("text/xml", b"\xef\xbb\xbf<!-- a --><a/>"),
    "a calendar behind a blank line": ("text/calendar", b"\r\nBEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n"),
    "a card in small letters": ("text/vcard", b"\n begin:vcard\nend:vcard\n"),
    "an Office document in another order": (WORD, build_zip({"word/a.xml": "a", "[Content_Types].xml": "b"})),
    "an OpenDocument with an extra field": (f"{ODF}.text", _odf(extra=b"UT\x05\x00\x03abcd")),
    "an OpenDocument whose type comes last": (f"{ODF}.text", _odf(last=True)),
}


@pytest.mark.parametrize(("declared", "data"), LENIENT.values(), ids=LENIENT)
def test_what_every_reader_opens_is_taken(declared: str, data: bytes) -> None:
    """Files that break the standard but are written by common programs are accepted."""
    assert kind(declared).find_problem(data) is None


STRICT = {
    "PDF too far behind": ("application/pdf", b" " * 1020 + PDF),
    "PDF behind a program": ("application/pdf", EXE + PDF),
    "PDF behind a script": ("application/pdf", b"#!/bin/sh\nexit\n" + PDF),
    "PDF behind a page": ("application/pdf", b"\n<!-- --><html><script>" + PDF),
    "PDF behind an archive": ("application/pdf", build_zip({"a.exe": "a"}) + PDF),
    "PDF behind a program of Unix": ("application/pdf", b"\x7fELF\x02\x01\x01" + PDF),
    "PDF under another name": ("image/png", b"\n" + PDF),
    "an OpenDocument whose type is compressed": (f"{ODF}.text", _odf(compressed=True)),
    "an OpenDocument of another type": (f"{ODF}.spreadsheet", _odf(last=True)),
    "a drawing behind blank lines": ("application/xml", b"\n\n<!-- --><svg xmlns='http://www.w3.org/2000/svg'/>"),
}


@pytest.mark.parametrize(("declared", "data"), STRICT.values(), ids=STRICT)
def test_what_could_run_or_be_shown_is_still_refused(declared: str, data: bytes) -> None:
    """The tolerance for common programs does not let programs or web pages through."""
    assert kind(declared).find_problem(data) is not None
