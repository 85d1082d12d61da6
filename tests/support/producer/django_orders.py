"""A Django shop's transactions with mails, which end in every possible way."""

import pytest
from django.core.mail import send_mail, send_mass_mail
from django.db import transaction

from support.django_settings import use_database

TO = ["ada@example.com"]
COMMITTED = ["autocommit", "commit", "before a savepoint", "savepoint", "first", "second"]
"""The subjects of the mails whose transactions commit."""


def _send(subject: str) -> None:
    assert send_mail(subject, "Text", None, TO) == 1


class _SoldOutError(Exception):
    """What rolls back."""


def _send_and_fail(subject: str) -> None:
    with transaction.atomic():
        _send(subject)
        raise _SoldOutError


def take_orders() -> None:
    """Transactions that end in every way, with mails in each."""
    _send("autocommit")
    with transaction.atomic():
        _send("commit")
    with pytest.raises(_SoldOutError):
        _send_and_fail("rollback")
    with transaction.atomic():
        _send("before a savepoint")
        with pytest.raises(_SoldOutError):
            _send_and_fail("savepoint rolled back")
        with transaction.atomic():
            _send("savepoint")
    assert send_mass_mail([(subject, "Text", None, TO) for subject in ("first", "second")]) == 2


def take_orders_in(url: str) -> None:
    """Run them in this database, which gets the table first."""
    with use_database(url):
        take_orders()
