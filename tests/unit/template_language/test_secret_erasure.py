"""Secret variables are replaced by values of the sample, and nothing else is."""

from notifier.template_language.secret_erasure import SecretErasure


def test_secret_values_become_those_of_the_sample() -> None:
    """Each secret value is replaced by one of the same kind, also inside lists and whole groups."""
    sample = {"link": "https://shop.example/0", "items": [{"code": 1, "name": "s"}], "card": {"number": 0}, "note": []}
    erasure = SecretErasure(paths=("link", "items.code", "card", "note.text", "late"), sample=sample)
    variables = {
        "link": "https://shop.example/secret",
        "items": [{"code": 7, "name": "a"}, {"code": 8, "name": "b"}],
        "card": {"number": 4, "owner": "Ada"},
        "note": [{"text": "t"}],
        "late": 5,
        "name": "Ada",
    }
    assert erasure.apply(variables) == {
        "link": "https://shop.example/0",
        "items": [{"code": 1, "name": "a"}, {"code": 1, "name": "b"}],
        "card": {"number": 0},
        "note": [{"text": "•••"}],
        "late": "•••",
        "name": "Ada",
    }


def test_json_stays_json() -> None:
    """The text of a claimed mail is replaced in the same way."""
    assert SecretErasure(paths=("a",), sample={"a": "s"}).apply_to_json('{"a":"x","b":1.5}') == '{"a":"s","b":1.5}'
