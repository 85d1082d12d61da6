"""XML that a browser would run is refused, and XML that is data is accepted."""

import pytest
from support.attachment_files import build_attachment

from notifier.submission import attachment_validation
from notifier.submission.file_type import MAX_XML_DEPTH, MAX_XML_TOKEN, parse_file_type

XHTML = "http://www.w3.org/1999/xhtml"
SVG = "http://www.w3.org/2000/svg"
RUNS = {
    "XHTML somewhere": f"<order xmlns:h='{XHTML}'><h:script>alert(1)</h:script></order>",
    "XHTML deep inside": f"<a><b><c xmlns='{XHTML}'><img src='x' onerror='alert(1)'/></c></b></a>",
    "XHTML at the root": f"<x:html xmlns:x='{XHTML}'/>",
    "SVG somewhere": f"<a><s:svg xmlns:s='{SVG}' onload='alert(1)'/></a>",
    "MathML": "<a xmlns:m='http://www.w3.org/1998/Math/MathML'><m:mtext/></a>",
    "a namespace in references": "<a xmlns:h='&#104;ttp&#x3a;//www.w3.org/1999/xhtml'><h:script/></a>",
    "a namespace with blanks": f"<a xmlns:h=' {XHTML}\n'><h:script/></a>",
    "a namespace from an entity": f"<!DOCTYPE a [<!ENTITY n '{XHTML}'>]><a xmlns:h='&n;'><h:script/></a>",
    "a namespace from a default": f"<!DOCTYPE a [<!ATTLIST a xmlns CDATA #FIXED '{XHTML}'>]><a><script/></a>",
    "elements from an entity": f"<!DOCTYPE a [<!ENTITY n \"<s xmlns='{XHTML}'/>\">]><a>&n;</a>",
    "entities of entities": "<!DOCTYPE a [<!ENTITY b 'x'><!ENTITY c '&b;&b;&b;&b;'>]><a>&c;</a>",
    "a file from an entity": "<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]><a>&b;</a>",
    "a parameter entity": "<!DOCTYPE a [<!ENTITY % p SYSTEM 'http://x.example/'> %p;]><a/>",
    "a stylesheet": "<?xml-stylesheet type='text/xsl' href='#s'?><a/>",
    "a stylesheet behind a comment": "<?xml version='1.0'?><!-- x --><?xml-stylesheet href='data:text/xsl,'?><a/>",
    "a stylesheet of CSS": "<?xml-stylesheet href='https://x.example/a.css'?><a/>",
    "a stylesheet within": "<a><?xml-stylesheet href='x'?></a>",
    "XHTML before an error": f"<a><s xmlns='{XHTML}'/></b>",
    "no XML": "<a",
    "two roots": "<a/><b/>",
    "a prefix of nothing": "<h:script/>",
    "another encoding": "<?xml version='1.0' encoding='utf-16'?><a/>",
    "yet another encoding": "<?xml version='1.0' encoding='cp037'?><a/>",
    "an encoding with escapes": "<?xml version='1.0' encoding='iso-2022-jp'?><a/>",
    "an encoding of seven bits": "<?xml version='1.0' encoding='utf-7'?><a>+ADw-</a>",
    "a tag of many attributes": "<a " + " ".join(f"a{number}=''" for number in range(MAX_XML_TOKEN)) + "/>",
    "a tag of many namespaces": "<a " + " ".join(f"xmlns:a{number}='u'" for number in range(MAX_XML_TOKEN)) + "/>",
    "a long value": f"<a b='{'>' * 3 * MAX_XML_TOKEN}'/>",
    "a deep tree": "<a>" * (MAX_XML_DEPTH + 1) + "</a>" * (MAX_XML_DEPTH + 1),
}
DATA = {
    "an invoice": "<?xml version='1.0' encoding='UTF-8'?><i:Invoice xmlns:i='urn:x'><i:ID>7</i:ID></i:Invoice>",
    "an old invoice": "<!DOCTYPE cXML SYSTEM 'http://xml.cxml.org/schemas/cXML/1.2.024/cXML.dtd'><cXML><a/></cXML>",
    "Latin by name": "<?xml version='1.0' encoding='ISO-8859-1' standalone='yes'?><a>plain</a>",
    "with a mark": "\ufeff<a>ü</a>",
    "markup in text": "<a><![CDATA[<script xmlns='http://www.w3.org/1999/xhtml'>]]>&lt;script&gt;</a>",
    "a namespace in text": f"<a href='{XHTML}'>{SVG}</a>",
    "an instruction": "<?app do='this'?><a/>",
    "a script by name only": "<a><script>not in XHTML</script></a>",
    "a long text": f"<a>{'x' * 3 * MAX_XML_TOKEN}<![CDATA[{'y' * 3 * MAX_XML_TOKEN}]]></a>",
    "a long tag": f"<a b='{'>' * (MAX_XML_TOKEN // 2)}'/>",
    "as deep as may be": "<a>" * MAX_XML_DEPTH + "</a>" * MAX_XML_DEPTH,
}


def _problem_in(data: bytes, declared: str = "application/xml") -> str | None:
    kind, _ = parse_file_type(declared)
    assert kind is not None
    return kind.find_problem(data)


@pytest.mark.parametrize("case", RUNS)
def test_what_a_browser_would_run(case: str) -> None:
    """Such XML is refused under both names of the type, and in UTF-16 because it is not text."""
    text = RUNS[case]
    for declared in ("application/xml", "text/xml"):
        assert _problem_in(text.encode(), declared) is not None
        for encoding in ("utf-16", "utf-16-le", "utf-16-be", "utf-32"):
            assert _problem_in(text.encode(encoding), declared) is not None


@pytest.mark.parametrize("case", DATA)
def test_what_is_data(case: str) -> None:
    """XML data is accepted, whatever words it contains."""
    assert _problem_in(DATA[case].encode()) is None


def test_the_reason_is_told() -> None:
    """The error names the reason for the type of the attachment."""
    _, faults = attachment_validation.check_attachments(
        [build_attachment("a.xml", "application/xml", RUNS["XHTML somewhere"].encode())]
    )
    assert [(fault.pointer, fault.code) for fault in faults] == [("/attachments/0/content_type", "attachment_rejected")]
    assert "a browser would" in faults[0].detail


def test_what_stands_beyond_the_first_piece_is_found() -> None:
    """A file of several pieces is checked to its end."""
    filler = "<b>" + "x" * 3_000_000 + "</b>"
    assert _problem_in(f"<a>{filler}<s xmlns='{XHTML}'/></a>".encode()) is not None
    assert _problem_in(f"<a>{filler}</a>".encode()) is None
