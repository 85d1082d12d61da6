"""Names of header fields that callers may set, and of those that nobody may set, because relays obey them.

Some header fields of a mail tell a relay to add recipients, or to use another sender or account. They would bypass team
lists, recipients mode, suppressions and sender domains.
"""

import re
from collections.abc import Collection

STANDARD_HEADERS = frozenset(
    {
        "list-unsubscribe", "list-unsubscribe-post", "list-id", "references", "in-reply-to", "feedback-id",
        "importance", "precedence",
    }
)  # fmt: skip
"""For lists and threads; always allowed."""
DEFAULT_ALLOWED_HEADERS = ("X-Auto-Response-Suppress", "X-Entity-Ref-ID", "X-Order", "X-Priority", "X-Reference")
"""Allowed unless the setting says otherwise: fields that only mail programs read, and numbers of orders and cases."""
_RELAY_PREFIXES = (
    "x-notifier-",  # our own
    # Services that send mail: the fields that their documentation says they read.
    "x-smtp", "x-sg-", "x-sendgrid", "x-msys", "x-msfbl", "x-sparkpost", "x-mc-", "x-mandrill", "x-mailchimp", "x-pm-",
    "x-postmark", "x-ses-", "x-amz", "x-aws", "x-mailgun", "x-mg-", "x-mj-", "x-mailjet", "x-sib-", "x-sendinblue",
    "x-mailin", "x-brevo", "x-elastic", "x-mailersend", "x-mailtrap", "x-mt-", "x-resend", "x-socketlabs", "x-xsm",
    "x-sendpulse", "x-pepipost", "x-netcore", "x-infobip", "x-zoho", "x-zepto", "x-scaleway", "x-unisender", "x-turbo",
    "x-mailup", "x-jango", "x-critsend", "x-maropost", "x-emarsys", "x-iterable", "x-customerio", "x-sailthru",
    "x-campaign", "x-unique-arg", "x-apiheader",
    # Mail servers and gateways.
    "x-envelope", "x-original-", "x-orig-to", "x-rcpt", "x-recipient", "x-receiver", "x-bcc", "x-forward", "x-resent",
    "x-redirect", "x-return-path", "x-return-receipt", "x-failed-", "x-mail-from", "x-mailfrom", "x-mail-to",
    "x-delivered-to", "x-deliver-to", "x-apparently", "x-errors", "x-confirm", "x-virtual-mta", "x-virtualmta",
    "x-vmta", "x-pmta", "x-powermta", "x-postal", "x-greenarrow", "x-envid", "x-dsn", "x-relay", "x-mta-", "x-postfix",
    "x-exim", "x-sendmail", "x-ms-", "x-microsoft", "x-forefront", "x-ironport", "x-proofpoint", "x-mimecast",
    "x-barracuda", "x-google", "x-gm-", "x-goog", "x-yahoo",
    # Fields that say who a mail is from, and whether it can be trusted.
    "x-spam", "x-virus", "x-dkim", "x-arc-", "x-auth", "x-spf", "x-received", "x-originating",
)  # fmt: skip
_RELAY_NAMES = frozenset(
    {"x-to", "x-cc", "x-from", "x-sender", "x-job", "x-loop", "x-tags", "x-notify", "x-pool", "x-ip-pool"}
)
_ALLOWED_ENTRY = re.compile(r"x-[a-z0-9]+(?:-[a-z0-9]+)*(?:-\*)?", re.IGNORECASE)


def is_relay_command(name: str) -> bool:
    """True for the name of a field that some relay obeys, or that is our own, in upper or lower case."""
    return name.lower().startswith(_RELAY_PREFIXES) or name.lower() in _RELAY_NAMES


def is_header_allowed(name: str, allowed: Collection[str]) -> bool:
    """True if a caller may set the field; `allowed` has names, and beginnings that end with `-*`, in lower case."""
    lower = name.lower()
    if lower in STANDARD_HEADERS:
        return True
    if not lower.startswith("x-") or is_relay_command(lower):
        return False
    return any(_matches_entry(lower, entry) for entry in allowed)


def validate_allowed_headers(entries: tuple[str, ...]) -> tuple[str, ...]:
    """Return the entries in lower case. Raises `ValueError` for one that is no `X-…` name, or that a relay may obey."""
    for entry in entries:
        if not _ALLOWED_ENTRY.fullmatch(entry):
            raise ValueError(f"{entry[:64]!r} is neither a name such as X-Shop-Order nor a beginning such as X-Shop-*")
        beginning = entry.lower().removesuffix("*")
        covered = (*_RELAY_PREFIXES, *_RELAY_NAMES) if entry.endswith("*") else ()
        if is_relay_command(beginning) or any(name.startswith(beginning) for name in covered):
            raise ValueError(f"{entry} can never be allowed: a relay may obey such a header; use another name")
    return tuple(entry.lower() for entry in entries)


def _matches_entry(lower: str, entry: str) -> bool:
    return lower == entry or (entry.endswith("*") and lower.startswith(entry[:-1]) and len(lower) >= len(entry))
