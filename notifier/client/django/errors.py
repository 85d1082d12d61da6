"""The error of the e-mail backends, with the base class that Django's callers catch."""

import smtplib


class MailSendError(smtplib.SMTPException):
    """The mail was not accepted, or cannot be sent through Notifier. `__cause__` is the client's error, if any."""
