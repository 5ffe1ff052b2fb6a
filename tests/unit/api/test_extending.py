"""What people add to a FastAPI application works on this one: dependency overrides, middleware, instrumentation."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from asgi_correlation_id import CorrelationIdMiddleware
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from starlette.requests import Request

from api.access.contexts import CommandContext, ReaderContext, command_context, reader_context
from api.access.security import Caller
from api.services import services_of
from tests.unit.api.harness import ORDER_ID, World, an_order

ORDER = f"/api/orders/{ORDER_ID}"
CALLER = Caller(
    subject="overridden", scopes=frozenset(), customer_id=None, token_id="t", is_admin=True
)  # it has no token


async def reader(request: Request) -> ReaderContext:
    return ReaderContext(request, CALLER, services_of(request))


async def commander(request: Request) -> CommandContext:
    return CommandContext(request, CALLER, services_of(request))


async def test_a_dependency_that_is_overridden_is_the_one_that_is_asked(world: World) -> None:
    world.queries.keep(an_order())
    assert (await world.ask("GET", ORDER, token=None)).status == 401
    world.app.dependency_overrides = {reader_context: reader, command_context: commander}
    assert (await world.ask("GET", ORDER, token=None)).status == 200
    assert (await world.ask("DELETE", ORDER, token=None)).status == 200
    assert world.router.message.actor.id == "overridden"
    world.app.dependency_overrides = {}
    assert (await world.ask("GET", ORDER, token=None)).status == 401


async def test_middleware_of_others_works_around_every_answer(world: World) -> None:
    world.app.add_middleware(CorrelationIdMiddleware, header_name="X-Request-ID", validator=None)
    for path, status in ((ORDER, 404), ("/nix", 404), ("/docs", 200)):
        answered = await world.ask("GET", path, headers={"x-request-id": "mine"})
        assert (answered.status, answered.headers["x-request-id"]) == (status, "mine")


@pytest.fixture
def spans(world: World) -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    FastAPIInstrumentor.instrument_app(world.app, tracer_provider=provider)
    yield exporter
    FastAPIInstrumentor.uninstrument_app(world.app)
    provider.shutdown()


async def test_instrumentation_sees_each_request_with_its_route(world: World, spans: InMemorySpanExporter) -> None:
    world.queries.keep(an_order())
    parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    assert (await world.ask("GET", ORDER, headers={"traceparent": parent})).status == 200
    (served,) = [span for span in spans.get_finished_spans() if span.name == "GET /api/orders/{order_id}"]
    assert served.context is not None
    assert f"{served.context.trace_id:032x}" == "4bf92f3577b34da6a3ce929d0e0e4736"
