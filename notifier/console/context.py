"""What the pages of the console may use. `notifier.runtime` puts the parts together: they are those of the API."""

from collections.abc import Callable
from dataclasses import dataclass

from starlette.requests import Request

from notifier.auth.oidc_sign_in import OidcSignIn
from notifier.auth.staff_sign_in import StaffAuthenticator
from notifier.clock import Clock
from notifier.console.client_address import Network
from notifier.console.reading import ReadSlots
from notifier.db.engine import Database
from notifier.email_address import RecipientPolicy
from notifier.lookup.content_preview import ContentPreviewer
from notifier.lookup.mail_titles import MailTitles
from notifier.mail.mail_parts import Mailbox
from notifier.rendering.preview_pool import EditorRenderers
from notifier.retention.retention_policy import RetentionPolicy
from notifier.submission.notification_submitter import NotificationSubmitter
from notifier.templating.assets.image_cache import InlineImageCache, PublicFileCache
from notifier.templating.publish_gate import PublishGate
from notifier.templating.publishing import Publisher
from notifier.templating.version_store import TemplateCache


@dataclass(frozen=True, kw_only=True)
class ConsoleDependencies:
    """Everything that a page may use."""

    database: Database
    clock: Clock
    authenticator: StaffAuthenticator
    editors: EditorRenderers
    gate: PublishGate
    publisher: Publisher
    previewer: ContentPreviewer
    images: InlineImageCache  # images of mails
    public_files: PublicFileCache
    submitter: NotificationSubmitter  # of test mails
    template_cache: TemplateCache
    default_sender: Mailbox  # the instance's own From address
    recipient_policy: RecipientPolicy
    wake_sender: Callable[[], None]  # tells the sender of this process that something is due
    retention: RetentionPolicy
    read_slots: ReadSlots
    mail_titles: MailTitles
    oidc: OidcSignIn | None = None  # None: people sign in by password only
    trusted_proxies: tuple[Network, ...] = ()
    url: str | None = None  # where people open the console; None: on this machine only


def get_console(request: Request) -> ConsoleDependencies:
    """Get the dependencies of the console."""
    dependencies: ConsoleDependencies = request.app.state.dependencies
    return dependencies
