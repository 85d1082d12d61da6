"""The Django app whose one migration creates the producer table."""

from django.apps import AppConfig


class NotifierConfig(AppConfig):
    """`"notifier.client.django"` in INSTALLED_APPS."""

    name = "notifier.client.django"
    label = "notifier"
    verbose_name = "Notifier"
