"""What travels with the package besides code: migrations and templates, in the wheel as in a checkout."""

from pathlib import Path

import notifier


def find_shipped_directory(name: str) -> Path:
    """A directory that travels with the package: inside the wheel, or beside the package in a checkout."""
    package = Path(notifier.__file__).parent
    in_wheel = package / "_shipped" / name
    return in_wheel if in_wheel.is_dir() else package.parent / name
