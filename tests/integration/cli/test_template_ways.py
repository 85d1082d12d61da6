"""`notifier templates` does the same over HTTP beside a running server on SQLite, and in its own process."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import sample_images
from support.command_terminal import Terminal, erase_differences, open_terminals
from support.document_blocks import ROOT
from support.seeded_installation import SqliteSeed

from notifier.client import Notifier

WAYS = ("http", "local")


@pytest.fixture(scope="module")
def terminals(sqlite_seed: SqliteSeed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Terminal]]:
    """One server for all tests of this module, and a database without one."""
    with open_terminals(sqlite_seed, tmp_path_factory.mktemp("templates")) as opened:
        yield opened


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The shipped templates, to be edited."""
    return Path(shutil.copytree(ROOT / "templates", tmp_path / "templates"))


def _run_both(terminals: dict[str, Terminal], root: Path, *commands: str) -> list[str]:
    """Type the commands at both terminals in folders of their own; return what both print, without ids and times."""
    printed = {}
    for way, terminal in terminals.items():
        folder = Path(shutil.copytree(root, root.parent / way / "templates"))
        results = [terminal.type("templates", *command.split(), "--dir", str(folder)) for command in commands]
        texts = [(result.code, erase_differences(result.stdout + result.stderr)) for result in results]
        printed[way] = [f"{code} {text.replace(str(folder), 'FOLDER')}" for code, text in texts]
    assert printed["http"] == printed["local"]
    return printed["http"]


def test_push_diff_and_pull(terminals: dict[str, Terminal], root: Path) -> None:
    """A push publishes what differs, with its image; then the folder has no difference, and an edit has one."""
    assert terminals["http"].type("templates", "new", "invoice", "--dir", str(root)).code == 0
    body = root / "invoice" / "body.html"
    body.write_text(body.read_text().replace("{{ ui.button", '{{ image("logo", alt="Shop") }}{{ ui.button'))
    (root / "_assets").mkdir()
    (root / "_assets" / "logo.png").write_bytes(sample_images.encode_image(sample_images.draw_red_bar()))
    planned, pushed, again, no_difference, pulled = _run_both(
        terminals,
        root,
        "push --overwrite --dry-run",
        "push --overwrite --note First",
        "push",
        "diff --exit-code",
        "pull",
    )
    assert planned.startswith("0 ")
    assert "invoice 1 would be created" in planned
    assert "invoice 1 created" in pushed
    assert " created" not in again.replace("unchanged", "")
    assert "invoice 1 unchanged" in again
    assert no_difference == "0 "
    assert "invoice 1 unchanged" in pulled
    for way in WAYS:
        assert (root.parent / way / "templates" / "_base.json").is_file()
    for terminal in terminals.values():
        listed = json.loads(terminal.read("templates", "list", "--json"))
        (invoice,) = [row for row in listed if row["slug"] == "invoice"]
        assert (invoice["version"], invoice["variables"]) == (1, "name, action_url")
        empty = root.parent / "empty" / ("http" if "NOTIFIER_URL" in terminal.variables else "local")
        assert terminal.type("templates", "pull", "invoice", "--dir", str(empty)).code == 0
        assert (empty / "_assets" / "logo.png").read_bytes() == (root / "_assets" / "logo.png").read_bytes()
        assert (empty / "invoice" / "body.html").read_text() == body.read_text()


def test_faults_name_template_file_and_line(terminals: dict[str, Terminal], root: Path) -> None:
    """What cannot be published is a line for each fault; what cannot be read is told before anything is sent."""
    (root / "welcome" / "body.html").write_text("<p>\n{{ nmae }}</p>")
    (root / "newsletter" / "subject.txt").write_text("{{ isue }}")
    (rendered,) = _run_both(terminals, root, "push welcome newsletter --overwrite")
    lines = rendered.splitlines()
    assert lines[0] == (
        "1 notifier: template welcome: body.html, line 2, column 4: there is no variable “nmae”. Did you mean “name”?"
    )
    assert lines[1].startswith("template newsletter: subject.txt, line 1, column 4: there is no variable “isue”")
    (root / "welcome" / "template.toml").write_text('name = "Welcome"\ncategorie = "x"\n')
    (root / "newsletter" / "sample.json").unlink()
    (root / "newsletter" / "body.html").unlink()
    shutil.rmtree(root.parent / "http")
    shutil.rmtree(root.parent / "local")
    (unread,) = _run_both(terminals, root, "push welcome newsletter nothing")
    assert "welcome: template.toml, line 2: there is no key categorie" in unread
    assert "newsletter: sample.json: is missing; newsletter: body.html: is missing" in unread
    assert "nothing: there is no nothing/template.toml" in unread


def test_an_edit_of_somebody_else_is_not_replaced(terminals: dict[str, Terminal], root: Path) -> None:
    """While a draft is newer than the files, a push is refused and names its author; a dry run exits with 1 too."""
    terminal, words = terminals["http"], ("push", "password_reset", "--dir", str(root))
    terminal.read("templates", *words, "--overwrite")
    with Notifier(url=terminal.variables["NOTIFIER_URL"], key=terminal.variables["NOTIFIER_ADMIN_KEY"]) as editor:
        draft = editor.templates.draft("password_reset")
        files = {name: text for name, text in draft.files.items() if not name.startswith("_layouts/")}
        files["subject.txt"] = "Theirs"
        editor.templates.save(
            "password_reset", files=files, settings=draft.settings, sample=draft.sample, revision=draft.revision
        )
    (root / "password_reset" / "subject.txt").write_text("Ours")
    refused = terminal.type("templates", *words)
    assert (refused.code, refused.stdout) == (1, "")
    lines = refused.stderr.splitlines()
    assert lines[0] == "notifier: nothing was pushed: the database has newer edits."
    assert lines[1].startswith("  password_reset: there is a draft that key:")
    assert lines[2:] == [
        "    subject.txt: +1 -1",
        "Look with `diff` (--draft), take them with `pull` (--draft), or replace them with --overwrite.",
    ]
    planned = terminal.type("templates", *words, "--dry-run")
    assert (planned.code, "password_reset  1        would be refused" in planned.stdout) == (1, True)
    pulled = terminal.type("templates", "pull", "password_reset", "--draft", "--overwrite", "--dir", str(root))
    assert pulled.code == 0, pulled.stderr
    assert (root / "password_reset" / "subject.txt").read_text() == "Theirs"


def test_a_folder_that_is_too_large_is_refused(terminals: dict[str, Terminal], root: Path) -> None:
    """The size and the limit of a request are named before anything is sent."""
    body = root / "welcome" / "body.html"
    body.write_text(
        body.read_text().replace("{% endblock %}", '{{ image("a", alt="") }}{{ image("b", alt="") }}{% endblock %}', 1)
    )
    (root / "_assets").mkdir()
    for name in ("a", "b"):
        (root / "_assets" / f"{name}.png").write_bytes(b"x" * 6 * 1024**2)
    (refused,) = _run_both(terminals, root, "push welcome")
    assert refused == (
        "1 notifier: these templates need a request of 16.0 MiB with their images, and the API takes 15:"
        " push some of them by name, or make the images smaller\n"
    )


def test_a_new_template_can_be_published_at_once(terminals: dict[str, Terminal], tmp_path: Path) -> None:
    """It passes `lint --strict`, is rendered and pushed; its commands are printed."""
    terminal, where = terminals["local"], ("--dir", str(tmp_path / "own"))
    printed = terminal.read("templates", "new", "gift_card", "--title", "Your “gift” card", "--locale", "de", *where)
    assert printed.splitlines()[-3:] == [
        f"  notifier templates {command} gift_card --dir {tmp_path / 'own'}" for command in ("lint", "render", "push")
    ]
    assert terminal.read("templates", "lint", "gift_card", "--strict", *where) == "gift_card: ok (de)\n"
    assert terminal.read("templates", "render", "gift_card", "--part", "subject", *where) == "Your “gift” card\n"
    assert terminal.type("templates", "push", "gift_card", "--overwrite", *where).code == 0


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("there",), "there exists already: choose another slug"),
        (("Gift Card",), "a slug has lower-case letters"),
        (("../x",), "a slug has lower-case letters"),
        (("x", "--title", "{{ name }}"), "--title: one line of at most 200 characters, without braces"),
        (("x", "--locale", "en_US"), "--locale: locale is a language tag"),
    ],
)
def test_a_new_template_that_cannot_be_made(
    terminals: dict[str, Terminal], tmp_path: Path, words: tuple[str, ...], reason: str
) -> None:
    """A slug that exists or is wrong, a wrong title and a wrong locale are named, and nothing is written."""
    (tmp_path / "there").mkdir()
    refused = terminals["local"].type("templates", "new", *words, "--dir", str(tmp_path))
    assert (refused.code, refused.stderr.count("\n")) == (2, 1)
    assert reason in refused.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["there"]
