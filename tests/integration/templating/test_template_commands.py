"""The output and exit status of `notifier templates` commands."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from integration.templating.conftest import Write
from support.folder_and_database import TwoSides
from typer.testing import CliRunner, Result

from notifier.cli.command import CommandError
from notifier.cli.main import app

Typed = Callable[..., Result]
CLEAN = (
    '{% extends "_layouts/base.html" %}{% block content %}<p>{{ name }}{% if note is defined %}{{ note }}{% endif %}'
)
WARNED = {"hello/subject.txt": "Hello {{ name }}" + " and all the others" * 4}


@pytest.fixture
def typed(tmp_path: Path) -> Typed:
    """Run a command in this process with the files and the SQLite database of the test."""
    database = f"sqlite:///{tmp_path / 'notifier.sqlite3'}"
    env = {"NOTIFIER_DATABASE_URL": database, "NOTIFIER_DATA_DIR": str(tmp_path), "NOTIFIER_LOG_FORMAT": "json"}

    def run(*words: str, folder: bool = True) -> Result:
        more = ("--dir", str(tmp_path / "templates")) if folder else ()
        return CliRunner().invoke(app, ["templates", *words, *more], env=env)

    return run


def test_lint_says_path_and_line(typed: Typed, write: Write) -> None:
    """Faults are reported as `path:line`, like a compiler's, for unreadable files and bad parts."""
    root = write(
        {
            "_layouts/Old.html": "x",
            "bad/template.toml": 'name = "Bad"\ncategorie = "x"\n',
            "bad/sample.json": "{}",
            "bad/body.htm": "x",
            "hello/body.html": "<p>\n{% for x in %}\n</p>",
        }
    )
    done = typed("lint")
    assert done.exit_code == 1
    lines = done.stdout.splitlines()
    said = "there is no key categorie: did you mean category?"
    assert lines[0].startswith(f"{root}/_layouts/Old.html: error: a layout is called")
    assert lines[1] == f"{root}/bad/template.toml:2: error: {said} [file]"
    assert lines[2].startswith(f"{root}/bad/body.htm: error: is no file of a template")
    assert lines[3].startswith(f"{root}/hello/body.html:2")
    rows = json.loads(typed("lint", "hello", "--json").stdout)
    assert [(row["template"], row["path"], row["line"], row["severity"]) for row in rows] == [
        ("hello", f"{root}/hello/body.html", 2, "error")
    ]


def test_lint_is_strict_about_warnings_if_asked(typed: Typed, write: Write) -> None:
    """A warning does not fail the command unless `--strict` is given."""
    root = write(WARNED)
    done = typed("lint", "hello")
    assert done.exit_code == 0
    (line,) = [line for line in done.stdout.splitlines() if line.endswith("[long_subject]")]
    assert line.startswith(f"{root}/hello/subject.txt: warning: The subject has ")
    assert done.stdout.splitlines()[-1] == "hello: ok (en)"
    assert typed("lint", "hello", "--strict").exit_code == 1


def test_render_takes_other_values(typed: Typed, write: Write, tmp_path: Path) -> None:
    """Given values are checked like a caller's; the parts and the mail are written, always the same bytes."""
    write({"hello/locales/fr/subject.txt": "Bonjour {{ name }}", "hello/locales/fr/body.html": "<p>{{ name }}</p>"})
    values, out = tmp_path / "bob.json", tmp_path / "out"
    values.write_text('{"name": "Bob"}')
    rendered = typed("render", "hello", "--locale", "fr-CA", "--part", "subject", "--variables", str(values))
    assert rendered.stdout == "Bonjour Bob\n"
    assert typed("render", "hello", "--out", str(out)).stdout.splitlines() == [
        str(out / name) for name in ("subject.txt", "body.html", "body.txt", "mail.eml")
    ]
    first = (out / "mail.eml").read_bytes()
    assert b"Subject: Hello Ada\r\n" in first
    typed("render", "hello", "--out", str(out))
    assert (out / "mail.eml").read_bytes() == first
    values.write_text('{"nmae": "Bob"}')
    refused = typed("render", "hello", "--variables", str(values))
    assert isinstance(refused.exception, CommandError)
    assert "/variables/name: the template needs this variable" in str(refused.exception)
    assert "/variables/nmae: the template has no such variable" in str(refused.exception)


def test_preview_shows_every_locale_and_runs_nothing(typed: Typed, write: Write, tmp_path: Path) -> None:
    """The preview is one file with each mail in sandboxed frames, at two widths."""
    write(
        {
            "hello/locales/fr/subject.txt": "Bonjour <b>",
            "hello/locales/fr/body.html": '<script>alert("x")</script><p>{{ name }}</p>',
        }
    )
    out = tmp_path / "page.html"
    assert typed("preview", "hello", "--out", str(out)).stdout == f"{out}\n"
    page = out.read_text()
    assert page.count('<iframe sandbox=""') == 4
    assert [page.count(f'width="{width}"') for width in (375, 640)] == [2, 2]
    assert "Bonjour &lt;b&gt;" in page
    assert "<script" not in page
    assert "default-src &#x27;none&#x27;" in page


async def test_the_sides_are_kept_together(typed: Typed, sqlite_side: TwoSides) -> None:
    """Pull, edit, diff and push; a refused push names author, difference and next step, and exits 1."""

    def run(*words: str, folder: bool = True) -> Awaitable[Result]:
        return asyncio.to_thread(typed, *words, folder=folder)  # a command has a loop of its own

    root = sqlite_side.write({})
    await sqlite_side.publish_edit("Hi {{ name }}")
    assert (await run("pull", "hello")).stdout.splitlines()[1].split() == ["hello", "2", "updated"]
    (root / "hello/subject.txt").write_text("Good day {{ name }}\n")
    assert (await run("diff", "hello")).stdout.splitlines() == [
        "--- database/hello/subject.txt",
        "+++ files/hello/subject.txt",
        "@@ -1 +1 @@",
        "-Hi {{ name }}",
        "\\ No newline at end of file",
        "+Good day {{ name }}",
    ]
    assert (await run("diff", "hello", "--exit-code")).exit_code == 1
    planned = await run("push", "hello", "--dry-run")
    assert planned.stdout.splitlines()[-2:] == ["hello: would be published", "  subject.txt: +1 -1"]
    assert planned.exit_code == 0
    assert (await run("push", "hello", "--note", "Politer")).exit_code == 0
    assert (await run("diff", "hello", "--exit-code")).exit_code == 0
    listed = {template["slug"]: template for template in json.loads((await run("list", "--json", folder=False)).stdout)}
    assert (listed["hello"]["version"], listed["hello"]["draft"]) == (3, None)
    await sqlite_side.publish_edit("Hi again")
    (root / "hello/subject.txt").write_text("Good evening {{ name }}\n")
    refused = await run("push", "hello")
    assert isinstance(refused.exception, CommandError)
    lines = str(refused.exception).splitlines()
    assert lines[0] == "nothing was pushed: the database has newer edits."
    assert lines[1].startswith("  hello: it is at version 4, published by staff:bob on 2026-03-09 at 12:30 UTC")
    assert lines[2:] == [
        "    subject.txt: +1 -1",
        "Look with `diff` (--draft), take them with `pull` (--draft), or replace them with --overwrite.",
    ]
    assert (await run("push", "hello", "--dry-run")).exit_code == 1
    assert isinstance((await run("pull", "hello")).exception, CommandError)
    assert (root / "hello/subject.txt").read_text() == "Good evening {{ name }}\n"
    assert (await run("pull", "hello", "--dry-run", "--json")).exit_code == 1


@pytest.mark.parametrize("words", [("push", "--overwrite", "--only-new"), ("push", "--note", "x" * 501)])
def test_wrong_use(typed: Typed, write: Write, words: tuple[str, ...]) -> None:
    """Invalid arguments exit with 2."""
    write({})
    refused = typed(*words)
    assert isinstance(refused.exception, CommandError)
    assert refused.exception.code == 2
