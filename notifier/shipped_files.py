"""Files that are part of the package but no code: migrations and templates."""

from pathlib import Path

import notifier


def find_shipped_directory(name: str) -> Path:
    """Find a directory of shipped files: inside the wheel, or beside the package in a checkout."""
    package = Path(notifier.__file__).parent
    in_wheel = package / "_shipped" / name
    return in_wheel if in_wheel.is_dir() else package.parent / name
