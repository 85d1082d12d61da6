"""Takes a picture of each page of the list, in its states, three widths, light and dark: to look at before a release.

Run it as `PYTHONPATH=tests .venv/bin/python tests/console/take_pictures.py FOLDER [NAME]`.
"""

import sys
import tempfile
from pathlib import Path

from support import console_browser, console_rig
from support.console_browser import DESKTOP, PHONE, TABLET, Scheme
from support.page_states import list_page_states
from support.seeded_installation import Installation, SqliteSeed

from notifier.settings import RecipientsMode, RecipientsSettings, Settings

SCHEMES: tuple[Scheme, ...] = ("light", "dark")


def take_pictures(target: Path, wanted_name: str) -> None:
    """Take the pictures into a folder; `wanted_name` is a part of the names of pages, empty for all."""
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        seed = SqliteSeed(folder)
        data = folder / "data"
        data.mkdir()
        recipients = RecipientsSettings(mode=RecipientsMode.LIVE)
        settings = Settings(database_url=seed.copy(data), data_dir=data, recipients=recipients)
        with (
            console_rig.start_console(Installation(settings=settings, keys=seed.keys), data) as rig,
            console_browser.start_browser(rig.url) as browser,
        ):
            for each in list_page_states():
                for width in (PHONE, TABLET, DESKTOP):
                    for scheme in SCHEMES:
                        if wanted_name not in each.name:
                            continue
                        token = rig.tokens[each.role] if each.role is not None else None
                        with browser.open_page(token=token, width=width, scheme=scheme) as page:
                            page.goto(rig.fill_in(each.path), wait_until="networkidle")
                            name = f"{each.name.replace(' ', '-')}-{width}-{scheme}.png"
                            for frame in page.locator("iframe").all():  # painted only when it is seen
                                frame.scroll_into_view_if_needed()
                            page.screenshot(path=target / name, full_page=True)


if __name__ == "__main__":
    take_pictures(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > len(("program", "folder")) else "")
