"""Every command of docs/templates.md, beside a running demo on SQLite."""

import json
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import notifier_process, running_demo
from support.document_blocks import ROOT, list_blocks

from notifier.templating.sync import template_files

GIT_SUBJECT = "$(git log -1 --format=%s)"


@pytest.fixture(scope="module")
def demo(demo_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with running_demo.start_demo(tmp_path_factory.mktemp("demo"), demo_data) as demo:
        yield demo


def _list_scripts() -> list[str]:
    """List the shell blocks of the document, in their order."""
    return [block.text for block in list_blocks("docs/templates.md") if block.language == "sh"]


def test_the_document_can_be_typed(demo: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each block works as it is written, one after another: a first change, a new template, git, and CI."""
    shutil.copytree(ROOT / "templates", tmp_path / "templates")
    (tmp_path / "ada.json").write_text('{"name": "Ada", "product": "Larkspur"}')
    where, change, new, both_ways, *pipeline = _list_scripts()
    assert where.strip() == "export NOTIFIER_URL=http://127.0.0.1:8000"
    env = notifier_process.build_environment(Path(demo["folder"]), URL=demo["api"])
    subject = tmp_path / "templates" / "welcome" / "subject.txt"
    monkeypatch.chdir(tmp_path)

    def run(*scripts: str) -> str:
        """Type the lines of scripts in the directory that has `templates/`."""
        printed = []
        for line in "".join(f"{script.rstrip()}\n" for script in scripts).replace(GIT_SUBJECT, "Evening").splitlines():
            program, *words = shlex.split(line, comments=True)
            assert program == "notifier"
            printed.append(notifier_process.run_notifier(*words, env=env).stdout)
        return "".join(printed)

    subject.write_text("Good morning, {{ name }}\n")
    lines = [line.split() for line in run(change).splitlines()]
    assert ["welcome:", "ok", "(en,", "de,", "fr)"] in lines
    assert ["Good", "morning,", "Ada"] in lines
    assert ["welcome", "2", "would", "be", "published"] in lines
    assert ["welcome", "2", "published"] in lines
    assert {"welcome", "order_shipped"} <= {line[0] for line in lines if line}
    made = run(new, "notifier templates lint --strict invoice_paid", "notifier templates push invoice_paid")
    assert "invoice_paid: ok (en)" in made
    listed = json.loads(run(both_ways).splitlines()[-1])
    assert {template["slug"]: template["version"] for template in listed}["invoice_paid"] == 1
    assert sorted(path.name for path in (tmp_path / "build").iterdir()) == [
        "body.html",
        "body.txt",
        "mail.eml",
        "subject.txt",
    ]
    assert (tmp_path / "templates" / "_base.json").is_file()
    same = template_files.read_template(tmp_path / "templates", "newsletter")
    assert same == template_files.read_template(ROOT / "templates", "newsletter")
    subject.write_text("Good evening, {{ name }}\n")
    assert "welcome         3        published" in run(*pipeline)
