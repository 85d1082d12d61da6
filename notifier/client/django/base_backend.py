"""What both e-mail backends have in common: the arguments that Django passes to a backend."""

from collections.abc import Collection
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.mail.backends.base import BaseEmailBackend


class NotifierBackend(BaseEmailBackend):
    """A backend that is configured by the setting `NOTIFIER` alone."""

    def __init__(
        self,
        *,
        fail_silently: bool = False,
        alias: str | None = None,
        _ignore_unknown_kwargs: Collection[str] = (),
        **options: Any,
    ) -> None:
        """Use neither network nor database yet.

        `alias` is the name in `MAILERS` (Django 6.1), whose options must be known. Otherwise Django passes settings of
        SMTP to each backend, such as the user and password of `send_mail`; they have no meaning here.
        """
        super().__init__()
        self.fail_silently, self.alias = fail_silently, alias  # Django 6.1 leaves the first to each backend
        if alias is not None and (unknown := sorted(options.keys() - set(_ignore_unknown_kwargs))):
            raise ImproperlyConfigured(
                f"MAILERS[{alias!r}] has the option {unknown[0]!r}, which Notifier's backends do not have: "
                "set URL, KEY, TIMEOUT and DATABASE in NOTIFIER"
            )
