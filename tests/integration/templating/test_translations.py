"""Which languages a template has, and which were left behind; where images and layouts are used; on both databases."""

from msgspec import structs
from support import published_template

from notifier.audit import Actor
from notifier.mail.mail_parts import PinnedAsset
from notifier.runtime import wiring
from notifier.template_language.template_source import TemplateSettings, TemplateSource
from notifier.templating import draft_store, layout_store, template_store, translations
from notifier.templating.assets.image_usage import ImageUsage, list_image_usage
from notifier.templating.translations import find_older_parts

DUTCH = "locales/nl/"
SOURCE = TemplateSource(
    files={
        "subject.txt": "Hello",
        "body.html": "<p>Hello</p>",
        f"{DUTCH}subject.txt": "Hallo",
        f"{DUTCH}body.html": "<p>Hallo</p>",
    },
    sample={},
    settings=TemplateSettings(name="Greeting"),
)


def change(source: TemplateSource, name: str, text: str) -> TemplateSource:
    """Change one file."""
    return structs.replace(source, files=source.files | {name: text})


def move_dutch(tag: str) -> TemplateSource:
    """Give the Dutch parts another language."""
    return structs.replace(
        SOURCE, files={name.replace("/nl/", f"/{tag}/"): text for name, text in SOURCE.files.items()}
    )


async def test_a_translation_is_older_until_it_is_changed_too(parts: wiring.ProcessParts) -> None:
    """A part that changed in the default language marks the same part of others, in versions and in unsaved text."""
    changed = change(SOURCE, "subject.txt", "Good day")
    async with parts.database.write() as connection:
        for source in (SOURCE, changed, change(changed, "body.html", "<p>Good day</p>")):
            version = await published_template.publish_template(connection, "greeting", source)

    async def find_older(source: TemplateSource) -> tuple[str, ...]:
        async with parts.database.read() as connection:
            found = await translations.list_translations(connection, version.template_id, source)
        (dutch,) = (each for each in found if each.locale == "nl")
        return dutch.older

    async with parts.database.read() as connection:
        live = (await template_store.get_version(connection, "greeting", 3)).source
    assert await find_older(live) == ("subject.txt", "body.html")
    assert await find_older(change(live, f"{DUTCH}subject.txt", "Goedendag")) == ("body.html",)
    both = change(change(live, f"{DUTCH}subject.txt", "Goedendag"), f"{DUTCH}body.html", "<p>Goedendag</p>")
    assert await find_older(both) == ()
    async with parts.database.write() as connection:
        await published_template.publish_template(connection, "greeting", both)
    assert await find_older(change(both, "subject.txt", "Dear customer")) == ("subject.txt",)


def test_parts_that_began_together_are_equally_old() -> None:
    """Without a known change nothing is marked; a part that only one language has is no matter."""
    files = SOURCE.files
    assert find_older_parts([files], "nl") == ()
    assert find_older_parts([files, {}], "nl") == ()
    assert find_older_parts([files | {"body.txt": "Hello"}, files], "nl") == ()
    assert find_older_parts([files, {name: text for name, text in files.items() if DUTCH not in name}], "nl") == ()


async def test_a_language_is_missing_if_only_others_have_it(parts: wiring.ProcessParts) -> None:
    """A reader of a region gets the language. A draft counts before its version, and a deleted template not at all."""
    actor = Actor(name="key:test", at=parts.clock.now())
    async with parts.database.write() as connection:
        await published_template.publish_template(connection, "greeting", SOURCE)
        await published_template.publish_template(connection, "dropped", move_dutch("da"))
        await template_store.delete_template(connection, "dropped", actor=actor)
        view = await draft_store.get_draft(connection, "greeting")
        draft = move_dutch("nl-BE")
        await draft_store.save_draft(connection, "greeting", draft, revision=view.revision, actor=actor)
    async with parts.database.read() as connection:
        languages = await translations.list_languages(connection)
        assert "dropped" not in languages
        assert languages["greeting"].all == {"en", "nl-BE"}
        assert languages["newsletter"].others == {"de"}
        found = await translations.list_translations(connection, None, draft)
        missing = [each.locale for each in found if each.is_missing]
        assert missing == ["de", "fr"]  # fr-CA gets the French one
        dutch = await translations.list_translations(connection, None, SOURCE)
        assert "nl-BE" not in [each.locale for each in dutch if each.is_missing]


async def test_images_are_used_by_live_mail_drafts_and_layouts(parts: wiring.ProcessParts) -> None:
    """Each use is found, also that of a draft through its layout."""
    actor = Actor(name="key:test", at=parts.clock.now())
    image = PinnedAsset(sha256="ab" * 32, content_type="image/png", width=10, height=10)
    async with parts.database.write() as connection:
        shown = structs.replace(SOURCE, assets={"logo": image})
        await published_template.publish_template(connection, "greeting", shown)
        text = "{{ image('banner', alt='') }}{% block content %}{% endblock %}"
        await layout_store.save_layout(connection, "_layouts/shop.html", text, revision=0, actor=actor)
        draft = change(SOURCE, "body.html", "{% extends '_layouts/shop.html' %}{{ image('seal', alt='') }}")
        await draft_store.save_draft(connection, "offer", draft, revision="", actor=actor)
    async with parts.database.read() as connection:
        usage = await list_image_usage(connection)
    assert usage["logo"] == ImageUsage(live={"greeting"})
    assert usage["banner"] == ImageUsage(drafts={"offer"}, layouts={"_layouts/shop.html"})
    assert usage["seal"] == ImageUsage(drafts={"offer"})


async def test_the_users_of_a_layout_use_it_directly_or_through_another(parts: wiring.ProcessParts) -> None:
    """One reading finds for every layout its users, with drafts and through other layouts."""
    actor = Actor(name="key:test", at=parts.clock.now())
    async with parts.database.write() as connection:
        for name, text in (("shop.html", "{% include '_layouts/foot.html' %}"), ("foot.html", "Bye")):
            await layout_store.save_layout(connection, f"_layouts/{name}", text, revision=0, actor=actor)
        draft = change(SOURCE, "body.html", "{% extends '_layouts/shop.html' %}")
        await draft_store.save_draft(connection, "offer", draft, revision="", actor=actor)
    async with parts.database.read() as connection:
        users = await layout_store.list_users_of_layouts(connection)
        assert await layout_store.list_layout_users(connection, "_layouts/foot.html") == ["offer"]
    assert users["_layouts/foot.html"] == ["offer"]
    assert users["_layouts/welcome.html"] == ["welcome"]
