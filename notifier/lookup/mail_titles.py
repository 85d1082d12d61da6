"""What people call a mail: the name of its template, and the subject before values are put in."""

import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.lookup.notification_view import NotificationView
from notifier.template_language.template_source import SUBJECT, TemplateSource
from notifier.templating import version_store

MAX_CACHED = 1_000
_VALUE = re.compile(r"{{(.*?)}}", re.DOTALL)
_NAME = re.compile(r"[A-Za-z_][\w.]*")
_STRING = re.compile(r"'[^']*'|\"[^\"]*\"")
_TAG = re.compile(r"{[%#].*?[%#]}", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class MailTitle:
    """The name of a mail's template, and its subject with the names of its values."""

    name: str
    subject: str  # its values are names between \u2039 and \u203a


OWN_TEXT = MailTitle(name="Mail without a template", subject="")


class MailTitles:
    """The titles of versions. A version never changes, so each is read once by a process."""

    def __init__(self) -> None:
        self._titles: OrderedDict[UUID, MailTitle] = OrderedDict()

    async def load_titles(
        self, connection: AsyncConnection, views: Iterable[NotificationView]
    ) -> Mapping[UUID, MailTitle]:
        """Load the titles of notifications, by the id of the notification."""
        versions = {view.id: view.template_version_id for view in views}
        wanted = {version for version in versions.values() if version is not None}
        missing = wanted - self._titles.keys()
        if missing:
            for version, source in (await version_store.get_sources(connection, missing)).items():
                self._titles[version] = build_title(source)
        titles = {
            id_: self._titles.get(version, OWN_TEXT) if version else OWN_TEXT for id_, version in versions.items()
        }
        for version in wanted & self._titles.keys():
            self._titles.move_to_end(version)
        while len(self._titles) > MAX_CACHED:
            self._titles.popitem(last=False)
        return titles


def build_title(source: TemplateSource) -> MailTitle:
    """Build the title of a version from its settings and its subject in the default locale."""
    return MailTitle(name=source.settings.name, subject=build_subject_pattern(source.files.get(SUBJECT, "")))


def build_subject_pattern(subject: str) -> str:
    """Build what a list shows of a subject: the name of a value, or \u2026, in the place of each value."""
    return " ".join(_VALUE.sub(_name_value, _TAG.sub("", subject)).split())


def _name_value(value: re.Match[str]) -> str:
    name = _NAME.search(_STRING.sub("", value[1]))
    return f"\u2039{name[0]}\u203a" if name else "\u2026"
