from __future__ import annotations

import re
from html import unescape
from html.parser import HTMLParser
from typing import Any

from api.pages import docs_page
from tests.unit.api.driving import World

VOID = {"meta", "br", "!doctype"}


class Reader(HTMLParser):
    """Reads a page: whether its elements are closed, its anchors, and what it would fetch."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.seen: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            assert not name.startswith("on")
            assert name not in {"src", "style"}
            if name == "id":
                self.ids.append(value or "")
            if name == "href":
                self.links.append(value or "")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


async def test_the_page_shows_every_operation_and_every_schema_and_fetches_nothing(world: World) -> None:
    document: dict[str, Any] = (await world.ask("GET", "/openapi.json")).json
    answered = await world.ask("GET", "/docs", token=None)
    assert answered.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in answered.headers["content-security-policy"]
    page = answered.body.decode()
    reader = Reader(page)
    assert reader.open == ["html"]
    assert not reader.seen & {"script", "link", "img", "iframe", "object"}
    operations = [each["operationId"] for methods in document["paths"].values() for each in methods.values()]
    assert sorted(reader.ids) == sorted([*operations, *document["components"]["schemas"]])
    assert {link for link in reader.links if not link.startswith("#")} == {"/openapi.json", "/asyncapi.json"}
    assert {link.removeprefix("#") for link in reader.links if link.startswith("#")} <= set(reader.ids)
    text = unescape(re.sub(r"<[^>]+>", "", page))
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert re.search(rf"{method.upper()}\s+{re.escape(path)} ", text)
            for answer in operation["responses"].values():
                assert answer["description"].replace("`", "") in text


def test_what_a_document_says_is_text_and_never_markup() -> None:
    nasty = '<script>alert(1)</script> & "quoted"'
    operation = {
        "operationId": "One",
        "summary": nasty,
        "description": nasty,
        "tags": [nasty],
        "security": [{"bearer": [nasty]}],
        "parameters": [{"name": nasty, "in": "query", "required": False, "schema": {"pattern": nasty}}],
        "requestBody": {
            "content": {"application/json": {"schema": {"enum": [nasty]}, "examples": {"a": {"value": nasty}}}}
        },
        "responses": {"200": {"description": nasty, "headers": {nasty: {}}}},
    }
    page = docs_page(
        {
            "info": {"title": nasty, "description": nasty},
            "paths": {"/<b>": {"get": operation}},
            "components": {
                "securitySchemes": {"bearer": {"description": nasty}},
                "schemas": {"S": {"description": nasty, "properties": {nasty: {"type": "string", "default": nasty}}}},
            },
        }
    ).decode()
    reader = Reader(page)
    assert "script" not in reader.seen
    assert "/<b>" not in page
