"""Differences of two sources: files, settings and sample."""

from typing import Any

from notifier.template_language.template_source import TemplateSettings, TemplateSource
from notifier.templating import source_diff
from notifier.templating.source_diff import FileChange


def _source(sample: dict[str, Any] | None = None, name: str = "Hello", **files: str) -> TemplateSource:
    texts = {name.replace("_", "."): text for name, text in files.items()}
    return TemplateSource(files=texts, sample=sample or {}, settings=TemplateSettings(name=name))


def test_each_file_that_differs_is_named() -> None:
    """Added, removed and changed files are listed, with settings and sample as files."""
    old = _source({"a": 1}, body_html="one\ntwo\nthree\n", subject_txt="Hi")
    new = _source({"a": 1}, "Bye", body_html="one\n2\nthree\n", body_txt="x")
    differences = {difference.file: difference for difference in source_diff.compare_sources(old, new)}
    assert {name: difference.change for name, difference in differences.items()} == {
        "body.html": FileChange.CHANGED,
        "body.txt": FileChange.ADDED,
        "subject.txt": FileChange.REMOVED,
        "template.toml": FileChange.CHANGED,
    }
    assert '-name = "Hello"\n+name = "Bye"\n' in differences["template.toml"].diff
    assert differences["body.html"].diff == "--- body.html\n+++ body.html\n@@ -1,3 +1,3 @@\n one\n-two\n+2\n three\n"
    assert [difference.change for difference in source_diff.compare_sources(None, _source(subject_txt="x"))] == [
        FileChange.ADDED
    ] * 3


def test_a_long_file_is_compared_in_one_piece() -> None:
    """With too many equal lines the diff is one hunk."""
    lines = [f"{number % 97}" for number in range(200_000)]
    changed = [*lines[:100_000], "new", *reversed(lines[100_050:100_100]), *lines[100_100:]]
    diff = source_diff.diff_text("body.html", "\n".join(lines), "\n".join(changed)).splitlines()
    assert diff[2].startswith("@@ -99998,")
    assert len(diff) < 200
    assert sum(line.startswith("@@") for line in diff) == 1
