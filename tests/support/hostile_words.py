"""Words of strangers that would do harm if a page did not escape them: in names, subjects, bodies, tags, replies."""

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


def build_hostile_mail(to: str) -> dict[str, Any]:
    """Build a request that has such words in every place that a caller fills."""
    body = "\n".join(f"<p>{words}</p>" for words in HOSTILE)
    return {
        "to": to,
        "content": {
            "subject": HOSTILE[0] + HOSTILE[1],
            "html": f"<html><body>{body}</body></html>",
            "text": "\n".join(HOSTILE),
        },
        "tags": [words[:64] for words in HOSTILE[:10]],
        "metadata": {f"key{number}": words for number, words in enumerate(HOSTILE[:20])},
        "attachments": [
            {"filename": "bill ' onerror=1 &lt;b&gt;.txt", "content_type": "text/plain", "content": "SGVsbG8="}
        ],
    }
