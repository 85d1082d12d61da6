"""Which types may be attached, and whether a file is of the type that it is said to be."""

import time

import pytest
from parts.attached import EXE, FILES, JPEG, ODF, OOXML, PDF, archive, office, open_document

from notifier.notification.file_type import MOST_ENTRIES, FileType, type_of

WAV = b"RIFF\x24\x00\x00\x00WAVEfmt \x10\x00\x00\x00"
WORD = f"{OOXML}.wordprocessingml.document"


def kind(declared: str) -> FileType:
    """The type, which may be attached."""
    found, problem = type_of(declared)
    assert (found is None) == (problem is not None)
    assert found is not None, problem
    return found


@pytest.mark.parametrize("declared", FILES)
def test_a_file_is_of_its_own_type(declared: str) -> None:
    """Every type has a file that passes, with an extension of that type."""
    name, data = FILES[declared]
    assert kind(declared).problem_in(data) is None
    assert name.rpartition(".")[2] in kind(declared).extensions


@pytest.mark.parametrize("declared", FILES)
def test_a_file_is_of_no_other_type(declared: str) -> None:
    """What has a beginning of its own is not taken for another, and nothing but its text is text."""
    texts = {"application/json", "application/xml", "text/csv", "text/plain", "text/xml", "text/calendar", "text/vcard"}
    plain = {"text/plain", "text/csv"}
    for other, (_, data) in FILES.items():
        fits = kind(declared).problem_in(data) is None
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
    """Also with a picture or an archive behind it; nor is what only begins as some type does."""
    assert kind(declared).problem_in(data) is not None


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
    ],
)
def test_a_type_is_written_one_way(declared: str, full: str) -> None:
    """Lower case, text with its charset, a calendar with its method, and old names replaced."""
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
        "application/pdf; name=a",
        "text/plain; charset=latin-1",
        "text/plain; method=REQUEST",
        "text/calendar; method=steal",
        "application/pdf;" + " " * 300,
        "multipart/mixed",
        "message/rfc822",
    ],
)
def test_other_types_are_refused(declared: str) -> None:
    """What is not on the list, and parameters that could mean something."""
    found, problem = type_of(declared)
    assert found is None
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
        "{\\rtf1 a}",
        "%!PS-Adobe-3.0\n",
        "a\x00b",
    ],
)
def test_text_that_is_something_else_is_refused(text: str) -> None:
    """A browser would show or run it, or another program would."""
    assert kind("text/plain").problem_in(text.encode()) is not None
    assert kind("text/xml").problem_in(text.encode()) is not None


@pytest.mark.parametrize(
    "text", ["<a> is a letter", "a <svg> within", "<!-- only", "#!/bin/sh\n", "GIF files", "", "<htmlish/>"]
)
def test_text_that_only_looks_like_it_passes(text: str) -> None:
    """Words are no programs."""
    assert kind("text/plain").problem_in(text.encode()) is None


@pytest.mark.parametrize(
    "text", ["<!doctype" + " " * 65000, "<!--" * 16000, "<?" * 32000, "<!---->" * 9000, " " * 65000]
)
def test_no_text_takes_long(text: str) -> None:
    """Whatever a caller thinks of, it is looked at once."""
    began = time.process_time()
    assert kind("text/plain").problem_in(text.encode()) is None
    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    ("declared", "data"),
    [
        (WORD, office("xl")),
        (WORD, archive({"word/document.xml": "a"})),
        (WORD, office("word", **{"word/vbaProject.bin": "a"})),
        (f"{ODF}.text", open_document("spreadsheet")),
        (f"{ODF}.text", open_document("text", "Basic/a.xml")),
        (f"{ODF}.text", open_document("text", "Scripts/a.py")),
    ],
)
def test_documents_with_macros_or_of_another_program_are_refused(declared: str, data: bytes) -> None:
    """The names within say what it is."""
    assert kind(declared).problem_in(data) is not None


@pytest.mark.parametrize(
    "name", ["a.exe", "b/a.JS", "b\\a.exe", "a.exe. ", "a.zip", "../a.txt", "b/../../a.txt", "a.pdf.exe"]
)
def test_what_an_archive_may_not_contain(name: str) -> None:
    """Programs, other archives, and names that leave the folder in which it is unpacked."""
    assert "contains" in (kind("application/zip").problem_in(archive({"ok.txt": "a", name: "b"})) or "")


def test_an_archive_that_programs_read_differently_is_refused() -> None:
    """Its directory must be whole, in its place, and not hidden behind something else."""
    problem_in = kind("application/zip").problem_in
    fine = archive({"a.txt": "a", "b.txt": "b"})
    end = fine.rindex(b"PK\x05\x06")
    first = fine.index(b"PK\x01\x02")
    broken = [
        fine[:-1],
        fine + b"x",
        fine[:end],
        fine[:4],
        JPEG + fine,
        PDF + fine,
        archive({}),
        fine[:first] + b"PK\x01\x03" + fine[first + 4 :],
        fine[: end + 10] + b"\x01\x00" + fine[end + 12 :],  # one entry counted, two there
        fine[: end + 12] + b"\x01" + fine[end + 13 :],  # another size than that of the directory
        fine[: end + 10] + b"\x03\x00" + fine[end + 12 :],
        fine[: end + 10] + b"\xff\xff" + fine[end + 12 :],
    ]
    assert problem_in(fine) is None
    assert [number for number, data in enumerate(broken) if problem_in(data) is None] == []


def test_an_archive_of_very_many_files_is_refused() -> None:
    """Reading the names is to take a moment and not a minute."""
    problem_in = kind("application/zip").problem_in
    assert problem_in(archive({f"{number}.txt": "" for number in range(MOST_ENTRIES)})) is None
    assert problem_in(archive({f"{number}.txt": "" for number in range(MOST_ENTRIES + 1)})) is not None
