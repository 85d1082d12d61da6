"""The check of a merge: what was detected, which rows have faults, and what is refused at once."""

import csv
import io
from collections.abc import AsyncIterator

import httpx2
import pytest
from support.merge_story import HEADINGS, build_csv, check_file
from support.seeded_installation import Installation

from notifier.runtime import wiring

pytestmark = pytest.mark.usefixtures("sender")
MIXED = (
    ("ada@example.com", "Ada", "Larkspur"),
    ("no address", "Bob", "Larkspur"),
    ("ADA@example.com", "Ada again", "Larkspur"),
    ("carol@example.com", "", "Larkspur"),
    ("dan@example.com", "Dan", "=1+1"),
)


async def test_a_check_tells_what_it_found(client: httpx2.AsyncClient) -> None:
    """Headings are matched, and rows, faults, duplicates and columns are counted."""
    reply = await client.post("/v1/suppressions", json={"address": "dan@example.com", "reason": "requested"})
    _, merge = await check_file(client, build_csv(MIXED))
    assert (merge["format"], merge["encoding"], merge["delimiter"]) == ("csv", "utf-8", ",")
    assert (merge["rows"], merge["valid"], merge["faulty"], merge["duplicates"]) == (5, 3, 2, 1)
    assert merge["suppressed"] == (1 if reply.status_code < 400 else 0)
    assert [column["field"] for column in merge["columns"]] == ["to", "name", "product"]
    name = merge["columns"][1]["statistics"]
    assert (name["filled"], name["distinct"], name["longest"]) == (4, 4, "Ada again")
    assert (merge["state"], merge["progress"], merge["error"], merge["problems"]) == ("checked", 100, None, [])


async def test_faults_name_row_column_and_cell(client: httpx2.AsyncClient) -> None:
    """Each fault says where it is in the file and what is wrong; pages follow each other."""
    path, _ = await check_file(client, build_csv(MIXED))
    first = (await client.get(f"{path}/faults?limit=1")).json()
    assert first["rows"][0]["row"] == 3
    assert [(fault["column"], fault["cell"], fault["code"]) for fault in first["rows"][0]["faults"]] == [
        ("E-Mail Address", "no address", "invalid_address")
    ]
    rest = (await client.get(f"{path}/faults?after={first['next']}")).json()
    assert (rest["rows"][0]["row"], rest["next"]) == (5, None)
    assert rest["rows"][0]["faults"] == [
        {
            "column": "Name",
            "cell": "",
            "code": "missing_variable",
            "detail": "it is empty, and the template needs a value",
        }
    ]


async def test_faulty_rows_can_be_corrected_and_uploaded_again(client: httpx2.AsyncClient) -> None:
    """The file of faulty rows has their cells and a reason, has no formula, and can be uploaded as it is."""
    rows = [("=cmd|'/c calc'!A1", "Bob", "Larkspur"), ("ada@example.com", "Ada", "Larkspur")]
    path, _ = await check_file(client, build_csv(rows))
    reply = await client.get(f"{path}/faults.csv")
    table = list(csv.reader(io.StringIO(reply.content.decode("utf-8-sig"))))
    assert table[0] == [*HEADINGS, "What is wrong"]
    assert len(table) == 2
    assert table[1][0].startswith("'=")
    assert table[1][3].startswith("Row 2: E-Mail Address: ")
    table[1][0] = "bob@example.com"
    text = io.StringIO()
    csv.writer(text).writerows(table)
    _, again = await check_file(client, text.getvalue().encode())
    assert (again["valid"], again["faulty"]) == (1, 0)
    assert again["problems"] == ["The column “What is wrong” is not used."]


async def test_map_names_the_column(client: httpx2.AsyncClient) -> None:
    """A heading that says nothing is mapped by the request."""
    data = build_csv([("ada@example.com", "Ada", "Larkspur")], ("Kontakt", "Name", "Was"))
    query = "template=welcome&map=Kontakt:to&map=Was:product"
    _, merge = await check_file(client, data, query)
    assert (merge["state"], merge["valid"]) == ("checked", 1)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"E-Mail,Name\nada@example.com,Ada\n", "No column of the file is called"),
        (b"Name,Product\nAda,Larkspur\n", "“to” (the e-mail address)"),
        (b"\x89PNG\r\n\x1a\n" + bytes(200), ""),
        (b"E-Mail,Name,Name\na@example.com,A,B\n", "Name"),
        (b"E-Mail,Name,Product\n", "no rows"),
    ],
    ids=["variable", "recipient", "picture", "twice", "empty"],
)
async def test_an_unusable_file_is_one_clear_sentence(client: httpx2.AsyncClient, data: bytes, words: str) -> None:
    """The check fails with a sentence about the file, and the merge cannot be started."""
    path, merge = await check_file(client, data)
    assert merge["state"] == "failed"
    assert words.replace("of the file ", "") in merge["error"]
    reply = await client.post(f"{path}/start")
    assert (reply.status_code, reply.json()["code"]) == (409, "merge_state")


@pytest.mark.parametrize(
    ("query", "headers", "content", "status", "code"),
    [
        ("", {}, b"x", 422, "missing_field"),
        ("template=nothing", {}, b"x", 422, "unknown_template"),
        ("template=welcome", {"Content-Type": "image/png"}, b"x", 415, "unsupported_media_type"),
        ("template=welcome", {"Content-Encoding": "gzip"}, b"x", 415, "unsupported_media_type"),
        ("template=welcome", {}, b"", 422, "missing_body"),
        ("template=welcome&map=colon", {}, b"x", 422, "invalid_parameter"),
        ("template=welcome&map=Name:nme", {}, b"x", 422, "unknown_field"),
    ],
)
async def test_a_bad_upload_writes_nothing(
    client: httpx2.AsyncClient, query: str, headers: dict[str, str], content: bytes, status: int, code: str
) -> None:
    """A request that cannot become a merge is refused with one sentence, and no merge stays."""
    sent = {"Content-Type": "text/csv"} | headers
    reply = await client.post(f"/v1/merges?{query}", content=content, headers=sent)
    assert (reply.status_code, reply.json()["code"]) == (status, code), reply.text
    assert (await client.get("/v1/merges")).json() == {"merges": [], "next": None}


async def test_a_file_over_the_limit_is_refused_while_it_is_read(
    client: httpx2.AsyncClient,
) -> None:
    """A body that turns out to be too large leaves no merge behind."""

    async def pour() -> AsyncIterator[bytes]:
        for _ in range(66):
            yield bytes(1024 * 1024)

    headers = {"Content-Type": "text/csv"}
    reply = await client.post("/v1/merges?template=welcome", content=pour(), headers=headers)
    assert (reply.status_code, reply.json()["code"]) == (413, "request_too_large")
    assert (await client.get("/v1/merges")).json()["merges"] == []


async def test_a_row_can_be_previewed(client: httpx2.AsyncClient) -> None:
    """A valid row is rendered; one with faults is refused with them, and a row that is not there is not found."""
    path, _ = await check_file(client, build_csv(MIXED))
    shown = (await client.get(f"{path}/preview?row=2")).json()
    assert "Ada" in shown["text"]
    faulty = await client.get(f"{path}/preview?row=3")
    assert (faulty.status_code, faulty.json()["code"]) == (422, "invalid_address")
    assert "E-Mail Address" in faulty.json()["detail"]
    assert (await client.get(f"{path}/preview?row=99")).status_code == 404


async def test_another_service_sees_no_merge(
    client: httpx2.AsyncClient, installation: Installation, parts: wiring.ProcessParts
) -> None:
    """A merge is that of its service: for others it is not there."""
    path, _ = await check_file(client, build_csv(MIXED))
    async with installation.open_client(parts, installation.keys.other) as other:
        for method, suffix in (("GET", ""), ("GET", "/faults"), ("POST", "/start"), ("POST", "/cancel")):
            assert (await other.request(method, path + suffix)).status_code == 404, suffix
