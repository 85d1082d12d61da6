"""The list of all pages. Tests go through it: contrast and labels, policy, screenshots, and what each role may do."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from notifier.auth.authenticated_key import KeyScope


@dataclass(frozen=True, kw_only=True)
class PageDescription:
    """A page, and examples of it."""

    path: str  # as in its route, below /console
    name: str  # in one or two words, also of its pictures
    states: Mapping[str, str] = field(default_factory=lambda: {"": ""})
    """What it is shown with in tests, by the name of the state: the rest of its URL. `{…}` is filled in by the rig."""
    scope: KeyScope | None = None  # needed to see it; None: everybody who is signed in
    is_open: bool = False  # to people who are not signed in


PAGES: tuple[PageDescription, ...] = (
    PageDescription(
        path="/sign-in",
        name="sign in",
        states={"": "", "signed out": "?signed-out", "after a link": "?next=/console/me"},
        is_open=True,
    ),
    PageDescription(
        path="/welcome/{link}", name="welcome", states={"": "{welcome_link}", "ended": "ended"}, is_open=True
    ),
    PageDescription(
        path="/oidc/callback", name="back from the provider", states={"refused": "?error=access_denied"}, is_open=True
    ),
    PageDescription(path="/", name="home"),
    PageDescription(
        path="/mail",
        name="mail",
        states={
            "newest": "",
            "address": "?q=bob@example.com",
            "nothing": "?q=nobody@example.com",
            "letters": "?q=bo",
            "not understood": "?q=state:failed",
            "refused": "?q={refused_address}",
        },
    ),
    PageDescription(
        path="/mail/{id:uuid}",
        name="one mail",
        states={
            "unknown": "{unknown_mail}",
            "refused": "{refused_mail}",
            "scheduled": "{scheduled_mail}",
            "hostile": "{hostile_mail}",
            "text": "{hostile_mail}?view=text",
            "source": "{hostile_mail}?view=source",
            "headers": "{hostile_mail}?view=headers",
            "values": "{hostile_mail}?view=values",
            "files": "{hostile_mail}?view=files",
        },
    ),
    PageDescription(path="/me", name="account"),
    PageDescription(path="/templates", name="templates"),
    PageDescription(path="/new-template", name="new template", scope=KeyScope.TEMPLATES_EDIT),
    PageDescription(
        path="/templates/{slug}",
        name="template",
        states={"live": "order_shipped", "text": "order_shipped?view=text", "draft": "welcome"},
    ),
    PageDescription(
        path="/templates/{slug}/edit",
        name="edit template",
        states={
            "": "order_shipped/edit",
            "with mistakes": "password_reset/edit",
            "languages": "newsletter/edit",
            "strange name": "daily_report/edit",
        },
        scope=KeyScope.TEMPLATES_EDIT,
    ),
    PageDescription(
        path="/templates/{slug}/versions/{number:int}", name="version", states={"": "order_shipped/versions/1"}
    ),
    PageDescription(
        path="/templates/{slug}/publish",
        name="publish",
        states={
            "same": "order_shipped/publish",
            "breaks": "welcome/publish",
            "with mistakes": "password_reset/publish",
            "ready": "daily_report/publish",
        },
        scope=KeyScope.TEMPLATES_PUBLISH,
    ),
    PageDescription(path="/layouts", name="layouts"),
    PageDescription(path="/layouts/{name}", name="layout", states={"": "base.html"}),
    PageDescription(path="/images", name="images"),
)
"""Error pages have no route of their own; the rig adds them."""
PARTS: frozenset[str] = frozenset(
    {
        "/mail/new",
        "/mail/{id:uuid}/state",
        "/mail/{id:uuid}/frame",
        "/mail/{id:uuid}/files/{number:int}",
        "/templates/{slug}/versions/{number:int}/preview",
        "/templates/{slug}/draft/preview",
        "/images/rows",
        "/images/{name}/file",
    }
)
"""Routes that answer with a part of a page, a mail in a frame, or a file: no pages."""
