"""Django's settings, which a process can have once: those of a shop that sends mail through our backends."""

from django.conf import settings

API_BACKEND = "notifier.client.django.ApiBackend"
SENDER = "Shop <orders@shop.example>"


def configure_django() -> None:
    """Configure Django, unless an earlier test has done it."""
    if not settings.configured:
        settings.configure(DEFAULT_FROM_EMAIL=SENDER, EMAIL_BACKEND=API_BACKEND, USE_TZ=True)
