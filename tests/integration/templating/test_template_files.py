"""Reading templates from files: every fault is reported in words, and no outside file is read."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from notifier.errors import TemplateError
from notifier.template_language.template_source import TemplateSettings
from notifier.templating import validation
from notifier.templating.sync import template_files

Write = Callable[[Mapping[str, str | bytes | None]], Path]


def problems(root: Path, slug: str = "hello") -> list[str]:
    """Get the faults of the template."""
    with pytest.raises(TemplateError) as raised:
        template_files.read_template(root, slug)
    assert raised.value.slug == slug
    return list(raised.value.problems)


def test_a_template_is_read_with_the_layouts_it_uses(write: Write) -> None:
    """Parts, sample, settings and all directly or indirectly used layouts are read."""
    source = template_files.read_template(
        write({"hello/locales/fr/subject.txt": "Bonjour", "hello/notes.md": "not a part"}), "hello"
    )
    assert sorted(source.files) == [
        "_layouts/base.html",
        "_layouts/parts.html",
        "body.html",
        "locales/fr/subject.txt",
        "subject.txt",
    ]
    assert source.files["subject.txt"] == "Hello {{ name }}"
    assert source.sample == {"name": "Ada", "note": "x"}
    assert source.settings == TemplateSettings(name="Hello", optional=("note",))


def test_a_layout_that_is_not_used_changes_nothing(write: Write) -> None:
    """Only used layouts are pinned, so editing another one publishes nothing."""
    before = template_files.read_template(write({}), "hello").content_hash()
    assert template_files.read_template(write({"_layouts/unused.html": "edited"}), "hello").content_hash() == before
    assert template_files.read_template(write({"_layouts/parts.html": "edited"}), "hello").content_hash() != before


@pytest.mark.parametrize(
    "tag",
    ['{% extends "_layouts/x.html" %}', "{%- include '_layouts/x.html' -%}", '{% from "_layouts/x.html" import a %}'],
)
def test_a_layout_is_found_however_it_is_named(write: Write, tag: str) -> None:
    """extends, include, import and from are followed, with either quote and with white space control."""
    root = write({"hello/body.html": tag, "_layouts/x.html": "x"})
    assert "_layouts/x.html" in template_files.read_template(root, "hello").files


def test_layouts_that_use_each_other_are_read_once(write: Write) -> None:
    """A circle of layouts ends."""
    root = write({"_layouts/parts.html": '{% include "_layouts/base.html" %}'})
    assert set(template_files.read_template(root, "hello").files) >= {"_layouts/base.html", "_layouts/parts.html"}


@pytest.mark.parametrize(
    "name", ["_layouts/../secret.txt", "_layouts/../../secret.txt", "_layouts/inner/../../secret.txt"]
)
def test_a_layout_path_that_leaves_the_directory_is_not_read(write: Write, tmp_path: Path, name: str) -> None:
    """A template cannot pull a file from elsewhere into a mail."""
    (tmp_path / "secret.txt").write_text("secret")
    root = write({"secret.txt": "secret", "_layouts/inner/x": "x", "hello/body.html": '{% include "' + name + '" %}'})
    assert (root / name).is_file()
    assert "secret" not in template_files.read_template(root, "hello").files.values()


def test_a_layout_that_links_elsewhere_is_not_read(write: Write, tmp_path: Path) -> None:
    """A symbolic link does not lead out of the directory either."""
    (tmp_path / "secret.txt").write_text("secret")
    root = write({"hello/body.html": '{% include "_layouts/link.html" %}'})
    (root / "_layouts/link.html").symlink_to(tmp_path / "secret.txt")
    assert sorted(template_files.read_template(root, "hello").files) == ["body.html", "subject.txt"]


def test_a_part_that_links_elsewhere_is_told(write: Write, tmp_path: Path) -> None:
    """A part that is a symbolic link to an outside file is a fault."""
    (tmp_path / "secret.txt").write_text("secret")
    root = write({"hello/subject.txt": None})
    (root / "hello/subject.txt").symlink_to(tmp_path / "secret.txt")
    assert problems(root) == ["subject.txt: links to a file outside the templates"]


def test_texts_are_read_octet_for_octet(write: Write) -> None:
    """Line ends are kept, so that the hash equals the one in the database."""
    text = "a\r\nb\rc\u2028\n\n"
    assert template_files.read_template(write({"hello/body.txt": text.encode()}), "hello").files["body.txt"] == text


def test_all_layouts_are_found(write: Write) -> None:
    """Unused layouts are read too; an invalid layout name is a fault, a note for people is not."""
    root = write({"_layouts/README.md": "x", "_layouts/.keep": ""})
    assert sorted(template_files.read_layouts(root)) == [
        "_layouts/base.html",
        "_layouts/parts.html",
        "_layouts/unused.html",
    ]
    with pytest.raises(TemplateError, match=r"_layouts/a/b\.html: a layout is called"):
        template_files.read_layouts(write({"_layouts/a/b.html": "x"}))


def test_the_slugs_are_the_directories_with_a_template(write: Write) -> None:
    """Layouts and directories without template.toml are no templates."""
    root = write({"b/template.toml": "", "a/template.toml": "", "c/subject.txt": "", "_x/template.toml": ""})
    assert template_files.list_slugs(root) == ["a", "b", "hello"]


@pytest.mark.parametrize("slug", ["Hello", "1hello", "he llo", "../hello", "", "h" * 65, "-a", "héllo", "hello\n"])
def test_a_slug_has_a_form(write: Write, slug: str) -> None:
    """An invalid slug is refused before any file is opened."""
    assert problems(write({}), slug) == ["a slug has lower-case letters, digits, - and _, and starts with a letter"]


def test_a_template_that_does_not_exist(write: Write) -> None:
    """The missing file is named."""
    assert problems(write({}), "gone") == ["there is no gone/template.toml"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"hello/template.toml": "name ="}, "template.toml, line 1: Invalid value. A line says key ="),
        ({"hello/template.toml": 'name = "a"\n\noptional = [\n'}, "template.toml, line 3: Invalid value."),
        ({"hello/template.toml": ""}, 'template.toml: name is missing: give it one: name = "…"'),
        (
            {"hello/template.toml": 'name = "a"\nprioritty = 1'},
            "line 2: there is no key prioritty: did you mean priority?",
        ),
        (
            {"hello/template.toml": 'name = "a"\n[colour]'},
            "line 2: there is no key colour; there are name, description",
        ),
        ({"hello/template.toml": "name = 1"}, "template.toml, line 1: name must be a text in quotes"),
        ({"hello/template.toml": 'name = "a"\noptional = [1]'}, "line 2: optional must be a list of texts in quotes"),
        ({"hello/template.toml": 'name = "a"\npublic = "note"'}, "line 2: public must be a list of texts in quotes"),
        (
            {"hello/template.toml": 'name = "a"\nsecret = ["nte"]'},
            "line 2: secret names 'nte', which is not in sample.json",
        ),
        ({"hello/template.toml": 'name = "a"\npublic = ["name", "name"]'}, "line 2: public names 'name' twice"),
        (
            {"hello/template.toml": 'name = "a"\noptional = ["a b"]'},
            "line 2: optional has 'a b': a variable is written",
        ),
        (
            {"hello/template.toml": 'name = "a"\n\nfrom = "Ada <ada@>"'},
            "line 3: from is an address or Name <address>; ",
        ),
        ({"hello/template.toml": 'name = "a"\nreply_to = "A\\nB <a@b.org>"'}, "line 2: reply_to is an address or Name"),
        (
            {"hello/template.toml": 'name = "a"\nlocale = "english language"'},
            "line 2: locale is a language tag such as en",
        ),
        ({"hello/template.toml": b"\xff"}, "template.toml, line 1: is not UTF-8: save it as UTF-8"),
        ({"hello/sample.json": None}, "sample.json: is missing"),
        ({"hello/sample.json": "[]"}, "sample.json, line 1: must be an object"),
        (
            {"hello/sample.json": '{\n"name": "Ada"\n"x": 1}'},
            "sample.json, line 3: is not JSON: a comma, or the end of",
        ),
        ({"hello/sample.json": '{"name": 1, "name": 2}'}, "sample.json: is not JSON: an object has the same key twice"),
        ({"hello/subject.txt": b"\xef\xbb\xbfHello"}, "subject.txt, line 1: starts with a byte order mark"),
        ({"hello/body.txt": b"a\nb\0"}, "body.txt, line 2: has a NUL character in it"),
        (
            {"hello/body.htm": "x"},
            "body.htm: is no file of a template: the parts are subject.txt, body.html and body.txt",
        ),
        ({"hello/old/body.html": "x"}, "old/body.html: is no file of a template"),
        ({"hello/locales/fr_CA/subject.txt": "x"}, "locales/fr_CA/subject.txt: 'fr_CA' is not a language tag"),
        (
            {"hello/locales/fr/subject.txt": "x", "hello/locales/FR/subject.txt": "x"},
            "locales/fr: is the same language as locales/FR",
        ),
        ({"_layouts/Base.html": "x", "hello/body.html": '{% extends "_layouts/Base.html" %}'}, "a layout is called"),
        (
            {"hello/sample.json": '{"note": "x", "subject": 1, "locale": 2}'},
            "sample.json: locale, subject is provided by rendering and cannot be a variable",
        ),
        (
            {"hello/template.toml": 'name = "a"\ncategory = "news"'},
            "template.toml, line 2: category is transactional or marketing, not 'news'",
        ),
        ({"hello/template.toml": 'name = "a"\npriority = "urgent"'}, "priority is high, normal or bulk, not 'urgent'"),
        (
            {"hello/template.toml": 'name = "a"\ncategory = "marketing"'},
            "marketing is always bulk: set priority to bulk",
        ),
        (
            {"hello/template.toml": 'name = "a"\nexpires_after = "1w"'},
            "expires_after: '1w' is not a duration such as 30m, 1h or 3d",
        ),
        (
            {"hello/template.toml": 'name = "a"\nwhen_uncertain = "wait"'},
            "when_uncertain is resend or hold, not 'wait'",
        ),
    ],
)
def test_each_problem_is_said_in_words(write: Write, changes: dict[str, str | bytes | None], said: str) -> None:
    """For each fault one sentence says what is wrong and where."""
    (problem,) = problems(write(changes))
    assert said in problem


def test_a_sample_that_is_no_json_is_a_problem(write: Write) -> None:
    """A file that cannot be parsed is reported once."""
    assert len(problems(write({"hello/sample.json": "{"}))) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"_layouts/base.html": b"\xff"},
        {"hello/body.html": '{% include "_layouts/a\x00b" %}'},
        {"hello/sample.json": '{"name": NaN}'},
        {"hello/sample.json": '{"name": "\\ud800"}'},
    ],
)
def test_what_cannot_be_stored_is_a_problem(write: Write, changes: dict[str, str | bytes | None]) -> None:
    """A layout that is not UTF-8 and a sample that no database can store are faults."""
    assert len(problems(write(changes))) == 1


def test_all_problems_are_said_at_once(write: Write) -> None:
    """All faults are reported together."""
    text = 'name = "a"\ncategory = "marketing"\npriority = "urgent"\nexpires_after = "soon"'
    assert (
        len(problems(write({"hello/template.toml": text, "hello/sample.json": '{"locale": 1}', "hello/body.htm": "x"})))
        == 5
    )


@pytest.mark.parametrize(
    ("duration", "seconds"), [(None, None), ("1m", 60), ("30m", 1800), ("1h", 3600), ("3d", 259200)]
)
def test_a_duration_in_seconds(duration: str | None, seconds: int | None) -> None:
    """A duration in minutes, hours or days becomes seconds; none stays none."""
    assert validation.parse_duration(duration) == seconds


@pytest.mark.parametrize("duration", ["", "0m", "00h", "1", "h", "1s", "1.5h", "-1h", "10000m", "1h30m", " 1h", "1h\n"])
def test_what_is_no_duration(duration: str) -> None:
    """Zero, other units and extra characters are refused."""
    with pytest.raises(ValueError, match="is not a duration such as"):
        validation.parse_duration(duration)
