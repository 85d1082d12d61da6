"""`image` and `asset` in templates: output, attached images, and checks."""

import re
from datetime import UTC, datetime

import pytest
from msgspec.structs import replace
from support.document_blocks import list_blocks

from notifier.mail.attachment_parts import fill_attachments
from notifier.mail.mail_parts import (
    MAX_IMAGES_PER_VERSION,
    Mailbox,
    MailHeader,
    MailWithGaps,
    PinnedAsset,
    RenderedMail,
    find_image_names,
)
from notifier.rendering.child_program import RenderingChild
from notifier.rendering.protocol import RenderBatchAnswer, RenderBatchRequest, RenderJob, SkippedMail
from notifier.rendering.source_check import check_source
from notifier.template_language.compiled_version import CompiledVersion
from notifier.template_language.error_description import PartError
from notifier.template_language.template_source import RenderFault, TemplateSettings, TemplateSource

LOGO = PinnedAsset(sha256="ab" * 32, content_type="image/png", width=150, height=50)
HERO = PinnedAsset(sha256="cd" * 32, content_type="image/jpeg", width=600, height=300)
PUBLIC = "https://mail.shop.example"


def source(html: str, **changes: str) -> TemplateSource:
    """Build a template with this HTML."""
    files = {"subject.txt": "Hello", "body.html": f"<html><body>{html}</body></html>", **changes}
    settings = TemplateSettings(name="Hello")
    assets = {"logo": LOGO, "hero": HERO, "stripes": LOGO}
    return TemplateSource(files=files, sample={"name": "Ada"}, settings=settings, assets=assets)


def rendered(html: str, public_url: str | None = None, **changes: str) -> str:
    """Render its HTML."""
    return CompiledVersion(source(html, **changes), public_url).render(None, {"name": "Ada"}).html or ""


def test_an_image_is_all_that_a_client_needs() -> None:
    """The tag has source, size and escaped alternative text."""
    html = rendered("""{{ image("logo", alt='The "<Shop>"') }}""")
    (tag,) = re.findall("<img[^>]*>", html)
    assert 'src="cid:logo.abababab@assets"' in tag
    assert 'width="150" height="50"' in tag
    assert 'alt="The &#34;&lt;Shop&gt;&#34;"' in tag


def test_linked_is_where_the_world_sees_it() -> None:
    """A linked image has the public URL, hash and extension; without the setting it is a fault."""
    html = """{{ image("hero", alt="", linked=true) }}<a href="{{ asset("logo", linked=true) }}">x</a>"""
    page = rendered(html, PUBLIC)
    assert f'src="{PUBLIC}/assets/{"cd" * 32}.jpg"' in page
    assert f'href="{PUBLIC}/assets/{"ab" * 32}.png"' in page
    with pytest.raises(PartError, match="NOTIFIER_PUBLIC_URL"):
        rendered(html)


def test_the_document_shows_how() -> None:
    """The template in docs/assets.md works unchanged."""
    (example,) = [block.text for block in list_blocks("docs/assets.md") if block.language == "jinja"]
    addresses = re.findall(r'(?:src|background)="([^"]+)"', rendered(example, PUBLIC))
    assert [address.partition(":")[0] for address in addresses] == ["cid", "https", "https"]


def test_text_has_words_instead() -> None:
    """In a text part an image is its `alt`; `cid:` is a fault."""
    version = CompiledVersion(source("x", **{"body.txt": '{{ image("logo", alt="Larkspur") }}'}))
    assert version.render(None, {}).text == "Larkspur"
    with pytest.raises(PartError, match="text shows no images"):
        CompiledVersion(source("x", **{"body.txt": '{{ asset("logo") }}'})).render(None, {})


def _mail(html: str) -> RenderedMail | MailWithGaps | RenderFault:
    header = MailHeader(
        message_id="<1@x.org>", date=datetime(2026, 1, 1, tzinfo=UTC), sender=Mailbox("a@x.org"), recipient="b@x.org"
    )
    job = RenderJob(version="v", locale=None, variables="{}", header=header)
    answer = RenderingChild().answer_request(RenderBatchRequest(jobs=[job], sources={"v": source(html)}))
    assert isinstance(answer, RenderBatchAnswer)
    assert not isinstance(answer.results[0], SkippedMail)
    return answer.results[0]


def test_a_mail_carries_only_what_it_shows() -> None:
    """Only embedded images that are shown are attached."""
    assert isinstance(_mail("<p>Hello</p>{% if false %}{{ image('logo', '') }}{% endif %}"), RenderedMail)
    mail = _mail("""{{ image("hero", alt="") }}{{ image("hero", alt="") }}""")
    assert isinstance(mail, MailWithGaps)
    assert mail.images == ["hero"]
    wire = fill_attachments(mail, [], [b"SGVsbG8=\r\n"]).wire
    assert wire.count(b"Content-ID: <hero.cdcdcdcd@assets>") == wire.count(b"SGVsbG8=") == 1
    assert b"multipart/related" in wire
    assert b"filename=hero.jpg" in wire.replace(b'"', b"")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("{% if false %}\n{{ image('gone', alt='') }}{% endif %}", "no finished image named “gone”"),
        ("\n{{ asset(name) }}", "in quotes"),
        ("\n{{ asset(name='gone') }}", "no finished image"),
        ("\n{{ image() }}", "in quotes"),
    ],
)
def test_a_check_finds_what_the_sample_does_not_show(call: str, message: str) -> None:
    """Images in branches that are not rendered are checked too, with file and line."""
    (fault,) = check_source(source(call)).faults
    assert (fault.part, fault.line) == ("body.html", 2)
    assert message in fault.message


def test_a_macro_of_the_template_is_its_own() -> None:
    """A template's own macro named `image` takes precedence."""
    assert check_source(source("{% macro image(x) %}{{ x }}{% endmacro %}{{ image(name) }}")).faults == []


def test_the_functions_are_no_variables() -> None:
    """The image functions do not appear in the schema of variables."""
    schema = check_source(source('{{ image("logo", alt=name) }}{{ asset("hero") }}')).variables_schema
    assert list(schema["properties"]) == ["name"]


def test_too_many_are_a_fault() -> None:
    """Too many images are a fault."""
    many = {f"a{number}": LOGO for number in range(MAX_IMAGES_PER_VERSION + 1)}
    assert "images" in check_source(replace(source("x"), assets=many)).faults[0].message


def test_names_are_found_in_the_text() -> None:
    """Image names are found in calls with either quotes, and only these are pinned."""
    text = """{{ image( "logo", alt="x") }} {{asset('hero')}} {{ asset (name="x1") }} image("No") img("a") {{ name }}"""
    assert find_image_names([text, "plain"]) == {"logo", "hero", "x1"}
