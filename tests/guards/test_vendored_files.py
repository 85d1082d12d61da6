"""The vendored files of the console are those that their README names, unchanged."""

import hashlib
import json
import re
from pathlib import Path

VENDOR = Path(__file__).parents[2] / "notifier/console/static/vendor"
_ROW = re.compile(r"^\| `([^`]+)` \| (.+) \| (.+) \| `([0-9a-f]{64})` \|$", re.MULTILINE)


def test_each_vendored_file_is_listed_with_its_hash() -> None:
    """Every script has a row with version, licence and SHA-256, and no row is left over."""
    rows = {name: digest for name, _, _, digest in _ROW.findall((VENDOR / "README.md").read_text())}
    files = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in VENDOR.glob("*.js")}
    assert "editor.js" in files
    assert rows == files


def test_the_editor_is_described_by_its_lock_file() -> None:
    """The README names the version of each package that the editor is made of; all are pinned."""
    readme = (VENDOR / "README.md").read_text()
    package = json.loads((VENDOR / "source/package.json").read_text())
    locked = json.loads((VENDOR / "source/package-lock.json").read_text())["packages"]
    for name, version in (package["dependencies"] | package["devDependencies"]).items():
        assert locked[f"node_modules/{name}"]["version"] == version
        if name != "@lezer/highlight":
            assert f"{name.rpartition('/')[2]} {version}" in readme
    licences = {entry["license"] for path, entry in locked.items() if path}
    assert licences == {"MIT"}
