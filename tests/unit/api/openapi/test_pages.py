from __future__ import annotations

import re
from urllib.parse import urlsplit

import pytest

from tests.unit.api.harness import World


async def test_the_page_fetches_from_this_service_alone_and_all_of_it_is_there(world: World) -> None:
    answered = await world.ask("GET", "/docs", token=None)
    assert answered.headers["content-type"] == "text/html; charset=utf-8"
    page = answered.body.decode()
    assert "<script>" not in page
    fetched = re.findall(r'(?:src|href|url): ?"([^"]+)"|(?:src|href)="([^"]+)"', page)
    places = {one or other for one, other in fetched}
    assert {"/docs/swagger-ui-bundle.js", "/docs/start.js", "/docs/swagger-ui.css"} <= places
    for place in places:
        assert urlsplit(place).netloc == ""
        assert (await world.ask("GET", place, token=None)).status == 200, place


async def test_nothing_but_this_service_may_be_asked_or_run_by_the_page(world: World) -> None:
    policy = (await world.ask("GET", "/docs", token=None)).headers["content-security-policy"]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == rules["connect-src"] == "'self'"


async def test_swagger_ui_is_started_with_the_document_and_lets_one_try_it_out(world: World) -> None:
    script = (await world.ask("GET", "/docs/start.js", token=None)).body.decode()
    assert 'url: "/openapi.json"' in script
    assert "tryItOutEnabled: true" in script
    assert b"SwaggerUIBundle" in (await world.ask("GET", "/docs/swagger-ui-bundle.js", token=None)).body


async def test_the_root_leads_to_the_page(world: World) -> None:
    answered = await world.ask("GET", "/", token=None)
    assert (answered.status, answered.headers["location"]) == (307, "/docs")


@pytest.mark.parametrize("path", ["/openapi.json", "/asyncapi.json", "/docs/swagger-ui.css"])
async def test_a_document_that_the_client_has_is_not_sent_again(world: World, path: str) -> None:
    first = await world.ask("GET", path, token=None)
    again = await world.ask("GET", path, token=None, headers={"if-none-match": first.headers["etag"]})
    assert (again.status, again.body, again.headers["etag"]) == (304, b"", first.headers["etag"])
    other = await world.ask("GET", path, token=None, headers={"if-none-match": '"other"'})
    assert (other.status, other.body) == (200, first.body)
