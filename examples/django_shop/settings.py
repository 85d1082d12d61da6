"""The settings of the shop. It runs on one machine only: a real project has a secret key and hosts of its own."""

DEBUG = True
SECRET_KEY = "only for this example"  # noqa: S105 - signs nothing here
ROOT_URLCONF = "orders.views"
INSTALLED_APPS = ["notifier.client.django", "orders"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "shop.sqlite3"}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
EMAIL_BACKEND = "notifier.client.django.ProducerBackend"
