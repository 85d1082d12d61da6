"""Templates with hostile words in every place that people fill: written over the API, as an editor would."""

from collections.abc import Iterator

import httpx2

from support.hostile_words import HOSTILE

SLUG = "hostile"
"""A published template with versions, a draft and a caller."""
MAX_NOTE, MAX_NAME = 500, 200
ALL_WORDS = " ".join(HOSTILE)


def join_words(most: int) -> Iterator[str]:
    """Join the words into texts of at most so many characters."""
    text = ""
    for words in HOSTILE:
        if len(text) + len(words) >= most:
            yield text
            text = ""
        text = f"{text} {words}".strip()
    yield text


def create_hostile_templates(api: httpx2.Client, caller: httpx2.Client) -> list[str]:
    """Create a template for each word, which is its name and its text, and one that has them all; returns the slugs."""
    slugs = []
    for number, words in enumerate(HOSTILE):
        slugs.append(f"hostile_{number}")
        files = {"subject.txt": words, "body.html": f"<p>{words}</p>", "locales/nl/subject.txt": words}
        _save_draft(api, slugs[-1], name=words, files=files, sample={words[:60]: words})
    files = {
        "subject.txt": "{{ words[0] }}",
        "body.html": "{% for each in words %}<p>{{ each }}</p>{% endfor %}",
        "body.txt": "{% for each in words %}{{ each }}\n{% endfor %}",
    }
    for number, note in enumerate(join_words(MAX_NOTE)):
        draft = _save_draft(api, SLUG, name=note[:MAX_NAME], files=files, sample={"words": [*HOSTILE, str(number)]})
        reply = api.post(f"/v1/templates/{SLUG}/publish", json={"revision": draft, "note": note})
        assert reply.status_code == 201, reply.text
    mail = {"to": "mallory@example.com", "template": SLUG, "variables": {"words": list(HOSTILE)}}
    reply = caller.post("/v1/notifications", json=mail)
    assert reply.status_code == 202, reply.text
    files = files | {"body.html": f"{files['body.html']}<b>{{{{ missing }}}}</b>"}
    _save_draft(api, SLUG, name=HOSTILE[0], files=files, sample={"words": [*HOSTILE], "missing": HOSTILE[1]})
    return slugs


def _save_draft(api: httpx2.Client, slug: str, *, name: str, files: dict[str, str], sample: dict[str, object]) -> str:
    reply = api.get(f"/v1/templates/{slug}/draft")
    revision = reply.json()["revision"] if reply.status_code == 200 else ""
    settings = {"name": name, "description": name}
    draft = {"files": files, "sample": sample, "settings": settings, "revision": revision, "unfinished": True}
    reply = api.put(f"/v1/templates/{slug}/draft", json=draft)
    assert reply.status_code == 200, reply.text
    return str(reply.json()["revision"])
