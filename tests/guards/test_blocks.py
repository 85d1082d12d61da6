"""No document has a block that nobody runs, unless it says so and the reason stands here."""

import re
from collections import Counter

import pytest
from support.document_blocks import DOCUMENTS, ROOT, BlockUse, list_blocks

REASONS = dict.fromkeys(("README.md", "docs/architecture.md", "docs/trip.md"), "a drawing")
"""Document → why one block of it is not run. A test of its own is better than a line here."""


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_block_is_run_or_says_why_not(document: str) -> None:
    """Code is run and answers are compared; what else looks like a block, or names a test without it, is found."""
    document_blocks = list_blocks(document)
    fences = re.findall(r"^ *(?:`{3,}|~{3,})", (ROOT / document).read_text(), re.MULTILINE)
    assert len(fences) == 2 * len(document_blocks), "a fence that is indented, or does not end"
    assert [str(block) for block in document_blocks if block.fate is BlockUse.FORGOTTEN] == []
    for block in document_blocks:
        if block.fate is BlockUse.ELSEWHERE:
            assert document in (ROOT / block.rest).read_text(), str(block)


def test_what_is_not_run_is_little() -> None:
    """The reasons are these, and each is used."""
    unrun = [
        (block.document, block.rest)
        for document in DOCUMENTS
        for block in list_blocks(document)
        if block.fate is BlockUse.NEVER
    ]
    assert Counter(unrun) == Counter(REASONS.items())
