"""Words of strangers that would do harm if a page did not escape them: in names, subjects, bodies, tags, replies."""

import re
from collections.abc import Sequence
from typing import Any

MARK = "hacked"
"""What a page says if one of the scripts runs."""
_RUN = f"alert('{MARK}')"
HOSTILE = (
    f"<script>{_RUN}</script>",
    f"<img src=x onerror={_RUN}>",
    f'"><svg onload={_RUN}>',
    f"' onmouseover='{_RUN}",
    f"javascript:{_RUN}",
    "</title><h1>gone",
    "</textarea><b>",
    "<!--",
    "]]>",
    "{{ 7 * 7 }}",
    "{% raw %}",
    "${7*7}",
    "<iframe srcdoc='<script>1</script>'>",
    "<base href=//evil.example/>",
    f"<details open ontoggle={_RUN}>",
    "<form action=//evil.example><button>",
    f"<a href=javascript:{_RUN}>x</a>",
    "<style>*{display:none}</style>",
    "<link rel=stylesheet href=//evil.example/x.css>",
    "<meta http-equiv=refresh content=0;url=//evil.example>",
    "<hx-partial hx-target=body>gone</hx-partial>",
    "<div hx-get=/console/sign-out hx-trigger=load>",
    "&lt;script&gt;",
    "&#x3c;script&#x3e;",
    "\u202eexe.txt",
    "\u2066left\u2069",
    "\u200b\u200b\u200b",
    "a\u0301" * 8,
    "W" * 60,
    "../../etc/passwd",
    "'; DROP TABLE notification; --",
    "=1+1",
    "%00%0a",
    "%s%n",
    "\\u003cscript\\u003e",
    "<math><mtext></form><img src=1 onerror=1>",
    f"<body onload={_RUN}>",
    f"<object data=javascript:{_RUN}>",
    "<embed src=//evil.example>",
    "<template shadowrootmode=open><b>x",
)


MAILS = 4
"""In which all words are in each field of a mail, ten in each."""
_NOT_IN_FILE_NAMES = re.compile(r'[/\\:*?"<>|\u200b-\u202e\u2066-\u2069]')


def list_shares(count: int = MAILS) -> list[tuple[str, ...]]:
    """List the words in shares of the same size: by default as many as there are mails."""
    size = len(HOSTILE) // count
    return [HOSTILE[number * size : (number + 1) * size] for number in range(count)]


def build_hostile_mail(to: str, words: Sequence[str] = HOSTILE[:10]) -> dict[str, Any]:
    """Build a request that has ten words in each place that a caller fills, and all of them in its texts."""
    body = "\n".join(f"<p>{each}</p>" for each in HOSTILE)
    names = [_NOT_IN_FILE_NAMES.sub("", each).strip(". ")[:80] or "empty" for each in words]
    return {
        "to": to,
        "content": {
            "subject": " ".join(words),
            "html": f"<html><body>{body}</body></html>",
            "text": "\n".join(HOSTILE),
        },
        "tags": [each[:64] for each in words],
        "metadata": {each[:64]: each for each in words},
        "attachments": [
            {"filename": f"{name}.txt", "content_type": "text/plain", "content": "SGVsbG8="} for name in names
        ],
    }
