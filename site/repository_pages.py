"""A hook of MkDocs: makes pages of what lies outside docs/, and leads the documents' links to them.

README, CHANGELOG and CONTRIBUTING become pages. So does each other file that a document links: Markdown as it is,
anything else as a block of its text, and openapi.json is copied.
"""  # noqa: INP001 - MkDocs loads it by its path

import posixpath
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
PAGES = {"README.md": "index.md", "CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md"}
"""Files of the repository's root → their pages."""
LANGUAGES = {".py": "python", ".yml": "yaml", ".yaml": "yaml", ".toml": "toml", ".conf": "nginx"}
HIDDEN = "---\nsearch:\n  exclude: true\n---\n"
_LINK = re.compile(r"(?:(?<=\]\()|(?<=\]: ))(?!https?:|mailto:|#)([^)\s#]+)")
_CODE = re.compile(r"(?ms)^(`{3,}).*?^\1$|`[^`\n]+`")


def on_config(config: Any) -> Any:
    """Append every decision to the navigation."""
    decisions = sorted(path.name for path in (ROOT / "docs/decisions").glob("*.md") if path.name != "README.md")
    config.nav[-1]["Understand it"][-1]["Decisions"] += [f"decisions/{name}" for name in decisions]
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the pages of README, CHANGELOG and CONTRIBUTING, and of each linked file outside docs/."""
    waiting = [f"docs/{file.src_uri}" for file in files.documentation_pages()] + list(PAGES)
    added: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in added:
            continue
        added.add(name)
        if name.endswith(".md"):
            text = _CODE.sub("", (ROOT / name).read_text())
            targets = [_resolve(name, link) for link in _LINK.findall(text)]
            waiting += [target for target in targets if not target.startswith("docs/")]
    for name in sorted(name for name in added if not name.startswith("docs/")):
        page = _get_page(name)
        source = {"content": _build_page(name)} if page.endswith(".md") else {"abs_src_path": str(ROOT / name)}
        files.append(File.generated(config, page, **source))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Lead the links of a document to pages of the site."""
    uri = page.file.src_uri
    document = _get_document(uri)
    if document is None:
        return markdown

    def lead(match: re.Match[str]) -> str:
        return posixpath.relpath(_get_page(_resolve(document, match[1])), posixpath.dirname(uri) or ".")

    return _change_outside_code(markdown, lambda text: _LINK.sub(lead, text))


def _change_outside_code(markdown: str, change: Callable[[str], str]) -> str:
    """Change the text between blocks and spans of code."""
    parts, end = [], 0
    for code in _CODE.finditer(markdown):
        parts += [change(markdown[end : code.start()]), code[0]]
        end = code.end()
    return "".join([*parts, change(markdown[end:])])


def _resolve(document: str, link: str) -> str:
    """The file of the repository that a document links."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(document), link))


def _get_page(name: str) -> str:
    """The page, or image, of the site for a file of the repository."""
    if name in PAGES:
        return PAGES[name]
    if name.startswith("docs/"):
        return name.removeprefix("docs/")
    return f"source/{name}" if name.endswith((".md", ".json")) else f"source/{name}.md"


def _get_document(uri: str) -> str | None:
    """The document that a page shows; None for one that shows another file."""
    names = {page: name for name, page in PAGES.items()}
    if not uri.startswith("source/"):
        return names.get(uri, f"docs/{uri}")
    name = uri.removeprefix("source/")
    return name if (ROOT / name).exists() else None


def _build_page(name: str) -> str:
    """The text of a document outside docs/, or a page with the text of another file, or the list of a folder."""
    path = ROOT / name
    if name in PAGES:
        return path.read_text()
    if name.endswith(".md"):
        return HIDDEN + path.read_text()
    title = f"{HIDDEN}# {name}\n\n"
    if path.is_dir():
        return title + "\n".join(f"- `{child.name}`" for child in sorted(path.iterdir())) + "\n"
    return f"{title}``````{LANGUAGES.get(path.suffix, '')}\n{path.read_text()}\n``````\n"
