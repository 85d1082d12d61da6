"""django-post_office, set up for bulk as its documentation says: batches, threads and processes.

`post_office fill ready|rendered COUNT` makes the tables and queues mails; `post_office drain PROCESSES` sends.
"""

import os
import sys
import time
from typing import Any

import django
from django.conf import settings
from django.core.management import call_command

from bench.peers import mail

BATCH, THREADS = 2500, 2  # no other setup was faster; its documentation says that threads do not help with SMTP
FILL = 1000


def configure() -> None:
    """Set up a Django project with only the queue; each thread keeps its SMTP connection for a batch."""
    settings.configure(
        INSTALLED_APPS=["django.contrib.contenttypes", "post_office"],
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.postgresql",
                "NAME": os.environ["PEER_DATABASE"],
                "CONN_MAX_AGE": None,
                "HOST": os.environ["PEER_HOST"],
                "PORT": os.environ["PEER_PORT"],
                "USER": os.environ["PEER_USER"],
                "PASSWORD": os.environ["PEER_PASSWORD"],
            }
        },
        TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
        EMAIL_HOST="127.0.0.1",
        EMAIL_PORT=int(os.environ["PEER_SMTP_PORT"]),
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        USE_TZ=True,
        POST_OFFICE={
            "BATCH_SIZE": BATCH,
            "THREADS_PER_PROCESS": THREADS,
            "LOG_LEVEL": 1,  # failures only, which writes less than the default
        },
        LOGGING={"version": 1, "loggers": {"post_office": {"level": "ERROR"}}},
    )
    django.setup()


def fill(kind: str, count: int) -> None:
    """Queue mails with ready bodies, or with a template that is rendered when they are delivered."""
    from post_office.mail import send_many
    from post_office.models import EmailTemplate

    call_command("migrate", verbosity=0)
    sample = mail.given()
    own: dict[str, Any] = {"sender": sample.sender}
    if kind == "ready":
        own |= {"subject": sample.subject, "html_message": sample.html, "message": sample.text}
    else:
        parts = {"content": sample.source("body.txt"), "html_content": sample.source("body.html")}
        template = EmailTemplate.objects.create(name="receipt", subject=sample.source("subject.txt"), **parts)
        own |= {"template": template, "context": sample.variables, "render_on_delivery": True}
    for first in range(0, count, FILL):
        numbers = range(first, min(first + FILL, count))
        send_many([own | {"recipients": mail.recipient(number)} for number in numbers])


def drain(processes: int) -> None:
    """Send all queued mails with its own command."""
    from post_office.models import STATUS, Email

    _check(Email)
    print("ready", flush=True)
    started = time.perf_counter()
    call_command("send_queued_mail", processes=processes)
    seconds = time.perf_counter() - started
    mail.tell(Email.objects.filter(status=STATUS.sent).count(), seconds)


def _check(emails: Any) -> None:
    message = emails.objects.first().prepare_email_message()
    mail.given().must_equal(message.alternatives[0][0], message.body)


if __name__ == "__main__":
    configure()
    match sys.argv[1:]:
        case ["fill", kind, count]:
            fill(kind, int(count))
        case ["drain", processes]:
            drain(int(processes))
