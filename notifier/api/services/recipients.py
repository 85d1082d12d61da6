"""The recipients that team keys of a service may mail, as a request has them."""

from collections.abc import Sequence

from notifier.auth import service_admin
from notifier.email_address import InvalidAddressError
from notifier.errors import Fault, InvalidRequestError


def normalise_recipients(texts: Sequence[str], pointer: str) -> list[str]:
    """Normalise addresses and domains such as `@example.org`. Raises `InvalidRequestError` with all faults."""
    recipients, faults = [], []
    for index, text in enumerate(texts):
        try:
            recipients.append(service_admin.normalise_team_recipient(text))
        except InvalidAddressError as error:
            faults.append(Fault(f"{pointer}/{index}", "invalid_address", str(error)))
    if faults:
        raise InvalidRequestError(faults)
    return recipients
