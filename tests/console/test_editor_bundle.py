"""The console's editor is made of pinned packages, which its README names."""

import json
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_editor_is_described_by_its_lock_file() -> None:
    """The README names the version of each package that the editor is made of; all are pinned."""
    readme = (ROOT / "notifier/console/static/vendor/README.md").read_text()
    package = json.loads((ROOT / "editor/package.json").read_text())
    locked = json.loads((ROOT / "editor/package-lock.json").read_text())["packages"]
    for name, version in (package["dependencies"] | package["devDependencies"]).items():
        assert locked[f"node_modules/{name}"]["version"] == version
        assert f"{name.rpartition('/')[2]} {version}" in readme
    licences = {entry["license"] for path, entry in locked.items() if path}
    assert licences == {"MIT"}
