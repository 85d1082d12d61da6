"""`notifier init`: from nothing to an installation that can send, in the working directory.

Each step is told in one line. Nothing is written before the database and the relay have been checked. A repeated run
keeps the database, the service, the keys and the values in `.env`.
"""

import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from notifier import environment
from notifier.cli import dotenv_file, init_answers
from notifier.cli.command import USAGE_ERROR, CommandError, build_actor, load_settings
from notifier.cli.init_answers import InitAnswers, Question

if TYPE_CHECKING:
    from notifier.runtime.process_parts import ProcessParts
    from notifier.settings import Settings

URL_VARIABLE, KEY_VARIABLE, ADMIN_KEY_VARIABLE = "NOTIFIER_URL", "NOTIFIER_API_KEY", "NOTIFIER_ADMIN_KEY"


async def initialise(
    database_url: Annotated[str, typer.Option(help="postgresql://…; default: SQLite in this directory.")] = "",
    relay: Annotated[str, typer.Option(metavar="HOST[:PORT]", help="The relay that takes the mail.")] = "",
    username: Annotated[str, typer.Option(help="User name at the relay; default: no login.")] = "",
    password_file: Annotated[
        Path | None, typer.Option(help="File with the password; default: NOTIFIER_SMTP__PASSWORD, or it is asked for.")
    ] = None,
    security: Annotated[str, typer.Option(help="starttls, tls or none; default: tls on port 465, else starttls.")] = "",
    sender: Annotated[str, typer.Option("--from", help="From: an address, or 'Name <address>'.")] = "",
    recipients: Annotated[
        str, typer.Option(help="Who may be mailed: live (everybody), or addresses and @domains with commas.")
    ] = "",
    service: Annotated[str, typer.Option(help="Name of the first calling application.")] = "app",
    admin: Annotated[str, typer.Option(metavar="EMAIL", help="Let this person into the console as an admin.")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Ask nothing; so it is without a terminal too.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Replace values in `.env` that the options contradict.")
    ] = False,
) -> None:
    """Set up an installation here: ask, check the relay, write `.env`, migrate, publish templates, create keys."""
    options = {
        init_answers.DATABASE: database_url,
        init_answers.RELAY: relay,
        init_answers.SECURITY: security,
        init_answers.USERNAME: username,
        init_answers.PASSWORD: str(password_file or ""),
        init_answers.SENDER: sender,
        init_answers.RECIPIENTS: recipients,
    }
    dotenv_file.require_writable()
    admin = _normalise_admin(admin)
    answers = InitAnswers(options, can_ask=sys.stdin.isatty() and not yes, force=force)
    for question in options:
        answers.find(question)
    await _check(answers, _check_relay, *init_answers.RELAY_QUESTIONS)  # first: it finds values that cannot be used
    await _check(answers, _check_database, init_answers.DATABASE)
    await _check(answers, _check_sender, init_answers.SENDER)
    await _check(answers, _check_recipients, init_answers.RECIPIENTS)
    settings = load_settings()
    dotenv_file.write_variables(answers.values)
    _tell(".env", f"written in {Path.cwd()}, readable by you only")
    link = await _fill_database(settings, service, admin)
    _print_next_steps(settings, link)


def _normalise_admin(text: str) -> str:
    from notifier import email_address

    try:
        return email_address.normalise_address(text) if text else ""
    except email_address.InvalidAddressError as error:
        raise CommandError(f"--admin: {text!r} is not an address: {error}", USAGE_ERROR) from error


async def _check(answers: InitAnswers, check: "Callable[[Settings], Awaitable[str]]", *questions: Question) -> None:
    """Check answers. On a terminal a fault is told and the questions are asked again; otherwise it is raised."""
    from notifier.errors import NotifierError

    while True:
        blamed = questions
        try:
            try:
                settings = load_settings()
            except CommandError as fault:
                blamed = answers.find_blamed(str(fault)) or questions
                raise
            line = await check(settings)
        except (CommandError, NotifierError) as fault:
            if not answers.can_ask:
                raise CommandError(str(fault), USAGE_ERROR) from fault
            print(f"notifier: {fault}", file=sys.stderr)
            answers.reject(*blamed)
            for question in blamed:
                answers.find(question)
        else:
            _tell(check.__name__.removeprefix("_check_"), line)
            return


def _tell(step: str, what: str) -> None:
    print(f"{step:<10}  {what}", flush=True)


async def _check_database(settings: "Settings") -> str:
    """Check that the database answers, or that its SQLite file can be created. Creates nothing."""
    from notifier.db import data_directory
    from notifier.health import checks
    from notifier.runtime import process_parts

    fault = data_directory.find_directory_fault(settings.data_dir)
    if fault:
        raise CommandError(fault, USAGE_ERROR)
    if settings.uses_sqlite and settings.data_dir.exists():
        with data_directory.lock_directory(settings.data_dir):
            """No server runs here."""
    async with process_parts.open_process_parts(settings) as parts:
        finding, *_ = await checks.check_database(parts.database, with_reason=True)
        if not finding.ok:
            raise CommandError(f"database: {finding.detail}", USAGE_ERROR)
        return parts.database.address.place


async def _check_relay(settings: "Settings") -> str:
    """Connect to the relay, start TLS and log in, as `doctor` does."""
    from notifier.health import checks
    from notifier.smtp.transport import SmtpTransport

    for finding in checks.check_certificates(settings):
        if not finding.ok:
            raise CommandError(finding.detail, USAGE_ERROR)
    transport = SmtpTransport(settings.smtp)
    try:
        finding = await checks.check_relay(transport, settings)
    finally:
        await transport.close()
    if not finding.ok:
        raise CommandError(f"relay: {finding.detail}", USAGE_ERROR)
    return finding.detail


async def _check_sender(settings: "Settings") -> str:
    from notifier.health import checks

    finding = checks.check_sender(settings)
    if not finding.ok:
        advice = "write an address such as 'Shop <mail@shop.example>'"
        raise CommandError(f"{finding.detail.removesuffix('.')}: {advice}", USAGE_ERROR)
    return finding.detail


async def _check_recipients(settings: "Settings") -> str:
    from notifier.health import checks

    finding = checks.check_recipients(settings)
    if not finding.ok:
        raise CommandError(finding.detail, USAGE_ERROR)
    return finding.detail


async def _fill_database(settings: "Settings", service: str, admin: str) -> str:
    """Migrate, publish the templates, create service and keys, and write the keys. Returns a person's link, or ""."""
    from contextlib import ExitStack

    from notifier.cli import installation
    from notifier.db import data_directory, migrations
    from notifier.runtime import process_parts

    with ExitStack() as stack:
        if settings.uses_sqlite:
            stack.enter_context(data_directory.lock_directory(settings.data_dir))
        async with process_parts.open_process_parts(settings) as parts:
            await migrations.upgrade_schema(parts.database)
            _tell("schema", f"at {await migrations.get_current_revision(parts.database)}")
            published = await installation.publish_shipped_templates(parts, "cli")
            changes = [result.change.value for result in published if "/" not in result.slug]  # a layout has a path
            _tell("templates", ", ".join(f"{changes.count(change)} {change}" for change in sorted(set(changes))))
            await _create_keys(parts, service)
            return await _create_admin(parts, admin) if admin else ""


async def _create_keys(parts: "ProcessParts", service: str) -> None:
    """Keep the keys in `.env` that are valid, create the others, and write them there."""
    from notifier.auth.authenticated_key import KeyScope
    from notifier.auth.key_admin import NewKey
    from notifier.cli import installation

    actor = build_actor(parts.clock.now())
    async with parts.database.write() as connection:
        service_id = await installation.find_or_create_service(connection, service, actor)
    before = environment.read_dotenv()
    written = {} if URL_VARIABLE in before else {URL_VARIABLE: _build_url(parts.settings)}
    for name, owner, properties in (
        (KEY_VARIABLE, service_id, NewKey(name="init")),
        (ADMIN_KEY_VARIABLE, None, NewKey(name="init", scopes=tuple(KeyScope))),
    ):
        known = environment.resolve_secret(name, before)
        key = await installation.find_or_create_key(
            parts, known.value.strip() if known else "", owner, properties, actor
        )
        is_new = known is None or key != known.value.strip()
        older = "; one from before, if any, is valid until you revoke it (notifier keys list)"
        what = f"is new{older if URL_VARIABLE in before else ''}" if is_new else "is kept"
        _tell("key", f"{name} in .env {what}")
        if is_new:
            written |= {name: key} | ({f"{name}_FILE": ""} if f"{name}_FILE" in before else {})
    dotenv_file.write_variables(written)


def _build_url(settings: "Settings") -> str:
    """Build the URL at which `notifier serve` answers on this host."""
    host = settings.api.host
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
    return f"http://{host}:{settings.api.port}"


async def _create_admin(parts: "ProcessParts", email: str) -> str:
    """Let a person into the console as an admin, and return a one-time link. A known person gets a new link."""
    from notifier.auth import staff_admin, staff_link
    from notifier.auth.staff_roles import StaffRole
    from notifier.errors import NotFoundError

    async with parts.database.write() as connection:
        actor = build_actor(parts.clock.now())
        try:
            person = await staff_admin.get_staff(connection, email)
        except NotFoundError:
            name = email.partition("@")[0][: staff_admin.MAX_STAFF_NAME_LENGTH]
            new = staff_admin.NewStaff(email=email, name=name, roles=frozenset({StaffRole.ADMIN}))
            person = await staff_admin.create_staff(connection, new, actor=actor)
        link = await staff_link.create_link(connection, person.id, actor=actor)
    return link.build_url(parts.settings.console.url or _build_url(parts.settings))


def _print_next_steps(settings: "Settings", link: str) -> None:
    from notifier.email_address import get_default_sender

    sender = get_default_sender(settings).address
    print("\nNext, in this directory:\n\n  notifier serve\n\nand in another terminal:\n")
    print(f"  notifier send --to {sender} --template welcome --var name=Ada --var product=Larkspur\n")
    if link:
        print(f"While it runs, this link opens the console once and asks for a password:\n\n  {link}")
    else:
        print("To open the console, while it runs:\n\n  notifier staff create you@example.com --role admin")
    names = [name for name in (URL_VARIABLE, KEY_VARIABLE, ADMIN_KEY_VARIABLE) if _is_hidden_by_shell(name)]
    if names:
        print(f"\nThis shell has other values, which would win over .env:\n\n  unset {' '.join(names)}")


def _is_hidden_by_shell(name: str) -> bool:
    """Whether the environment has another value than `.env`, which would win."""
    kept = environment.resolve_secret(name, environment.read_dotenv())
    is_set = environment.list_origins().get(name) == "environment"
    return is_set and kept is not None and environment.get_variable(name) != kept.value.strip()
