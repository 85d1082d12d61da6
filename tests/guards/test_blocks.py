"""Every block of a document is run, unless it is marked and its reason is listed here."""

import re
from collections import Counter

import pytest
from support.document_blocks import DOCUMENTS, ROOT, BlockUse, list_blocks

DRAWINGS = ("README.md", "docs/architecture.md", "docs/trip.md")
LANGUAGES = ("Java", "a Java compiler", "Go", "PHP", ".NET")
REASONS = [
    *((document, "a drawing") for document in DRAWINGS),
    *(("docs/generated-clients.md", f"needs {language}") for language in LANGUAGES),
]
"""Each block that is not run: its document, and why. Prefer a test to an entry here."""


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_block_is_run_or_says_why_not(document: str) -> None:
    """Code is run and replies are compared; unmarked blocks, and marks that name no test, are reported."""
    document_blocks = list_blocks(document)
    fences = re.findall(r"^ *(?:`{3,}|~{3,})", (ROOT / document).read_text(), re.MULTILINE)
    assert len(fences) == 2 * len(document_blocks), "a fence that is indented, or does not end"
    assert [str(block) for block in document_blocks if block.fate is BlockUse.FORGOTTEN] == []
    for block in document_blocks:
        if block.fate is BlockUse.ELSEWHERE:
            assert document in (ROOT / block.rest).read_text(), str(block)


def test_what_is_not_run_is_little() -> None:
    """Each reason is used, and there are no others."""
    unrun = [
        (block.document, block.rest)
        for document in DOCUMENTS
        for block in list_blocks(document)
        if block.fate is BlockUse.NEVER
    ]
    assert Counter(unrun) == Counter(REASONS)
