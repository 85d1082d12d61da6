"""Templates in the states that the console's pages show: a draft that breaks a caller, and one with mistakes."""

from pathlib import Path

from msgspec import structs

from notifier.audit import Actor
from notifier.rendering.preview_pool import PreviewPool
from notifier.runtime import wiring
from notifier.template_language.template_source import HTML, SUBJECT, TemplateSource
from notifier.templating import draft_store
from notifier.templating.assets import asset_store
from notifier.templating.assets.image_conversion import ImageOptions
from notifier.templating.sync import template_files
from support import sample_images

HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(2)> \u202eevil\u202c {{ }}'
"""A name that would run a script if it were not escaped, and that turns text around."""


def read_shipped(slug: str) -> TemplateSource:
    """Read the own parts of a shipped template."""
    source = template_files.read_template(Path("templates"), slug)
    return structs.replace(source, files={name: text for name, text in source.files.items() if "_layouts" not in name})


def add_variable(source: TemplateSource, name: str) -> TemplateSource:
    """Use one more variable in the subject, which callers do not send yet."""
    files = source.files | {SUBJECT: f"{source.files[SUBJECT].strip()} {{{{ {name} }}}}"}
    return structs.replace(source, files=files, sample=source.sample | {name: "AB-12"})


def break_filter(source: TemplateSource, line: int = 1) -> TemplateSource:
    """Insert a line with a filter that does not exist."""
    lines = source.files[HTML].split("\n")
    lines.insert(line - 1, "{{ store|mony }}")
    return structs.replace(source, files=source.files | {HTML: "\n".join(lines)})


async def save_states(parts: wiring.ProcessParts, editor: str) -> None:
    """Save drafts as this actor, and upload two images, one of which cannot be converted."""
    actor = Actor(name=editor, at=parts.clock.now())
    broken = break_filter(read_shipped("password_reset"))
    async with parts.database.read() as connection:
        whole = await draft_store.assemble_source(connection, broken, "password_reset")
    pool = PreviewPool()
    try:
        checked = await pool.check(whole)
    finally:
        await pool.aclose()
    assert checked.faults
    hostile = read_shipped("daily_report")
    subject = {SUBJECT: hostile.files[SUBJECT].strip() + '"><script>alert(3)</script>'}
    hostile = structs.replace(
        hostile, files=hostile.files | subject, sample=hostile.sample | {"product": '"><script>alert(4)</script>'}
    )
    hostile = structs.replace(hostile, settings=structs.replace(hostile.settings, name=HOSTILE, description=HOSTILE))
    letter = read_shipped("newsletter")
    changed = {
        SUBJECT: "News: " + letter.files[SUBJECT],
        HTML: letter.files[HTML] + "{# {{ image('logo', alt='') }} #}",
    }
    letter = structs.replace(letter, files=letter.files | changed)  # the German subject is older now
    drafts = (
        ("newsletter", letter, ()),
        ("welcome", add_variable(read_shipped("welcome"), "ticket"), ()),
        ("password_reset", broken, checked.faults),
        ("daily_report", hostile, ()),
    )
    async with parts.database.write() as connection:
        for slug, source, faults in drafts:
            view = await draft_store.get_draft(connection, slug)
            await draft_store.save_draft(
                connection, slug, source, revision=view.revision, actor=actor, faults=tuple(faults)
            )
        data = sample_images.encode_image(sample_images.draw_red_bar())
        for name, content in (("logo", data), ("badge", b"no image")):
            await asset_store.upload_asset(connection, name, content, ImageOptions(), revision=0, actor=actor)
