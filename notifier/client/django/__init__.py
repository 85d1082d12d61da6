"""E-mail backends for Django, with which the mail calls of an existing project send through Notifier.

They need `notifier-outbox[django]`.
"""

from notifier.client.django.api_backend import ApiBackend
from notifier.client.django.errors import MailSendError

__all__ = ["ApiBackend", "MailSendError"]
