"""E-mail backends for Django, with which the mail calls of an existing project send through Notifier.

They need `notifier-outbox[django]`. As an installed app this module creates the producer table by a migration.
"""

from notifier.client.django.api_backend import ApiBackend
from notifier.client.django.errors import MailSendError
from notifier.client.django.producer_backend import ProducerBackend

__all__ = ["ApiBackend", "MailSendError", "ProducerBackend"]
