"""How the service is: alive, ready, and its metrics.

Open to all but the metrics, which want a scope of their own (``METRICS_PORT`` shows them without a token).
"""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse
from starlette.requests import Request
from starlette.responses import Response

from api.access.contexts import MetricsReader
from api.openapi.described import Success, described
from api.problems import retry_after
from api.services import services_of
from api.shapes import documents as doc
from api.shapes.responses import encode, json_response

NEEDED = ("postgresql", "shards")
FORMS = ("text/plain", "application/openmetrics-text")

router = APIRouter(tags=["health"])


@router.get(
    "/health/live",
    operation_id="EstaVivo",
    summary="Tell that the process answers",
    **described({200: Success("It does", doc.LiveDocument)}, is_open=True),
)
async def show_liveness() -> Response:
    """The process answers, whatever else may be away."""
    return json_response(200, b'{"status":"ok"}')


@router.get(
    "/health/ready",
    operation_id="EstaListo",
    summary="Tell how each dependency is",
    **described(
        {
            200: Success("Orders can be taken, degraded or not", doc.ReadyDocument),
            503: Success("PostgreSQL or every shard is away", doc.ReadyDocument, ("Retry-After",)),
        },
        is_open=True,
    ),
)
async def show_readiness(request: Request) -> Response:
    """200 while orders can be taken, degraded or not; 503 without PostgreSQL or any shard."""
    found = await services_of(request).health.check()
    down = [name for name, health in found.items() if health.status != "ok"]
    is_ready = not any(name in NEEDED for name in down)
    dependencies = {
        name: {"status": health.status, "latency_ms": round(health.latency_ms, 2)}
        | ({"detail": health.detail} if health.detail else {})
        for name, health in found.items()
    }
    status = ("degraded" if down else "ok") if is_ready else "unavailable"
    document = encode({"status": status, "dependencies": dependencies})
    return json_response(200, document) if is_ready else json_response(503, document, retry_after(2.0))


@router.get(
    "/metrics",
    operation_id="Metricas",
    summary="Show the metrics",
    response_class=PlainTextResponse,
    **described({200: Success("The metrics, in the form that `Accept` names", texts=FORMS)}),
)
async def show_metrics(ctx: MetricsReader) -> Response:
    """All processes of the API together, and what the supervisor gathered. `METRICS_PORT` shows the same without a token."""
    text, content_type = await ctx.services.metrics.text(ctx.header(b"accept") or "")
    return Response(text, headers={"content-type": content_type, "vary": "accept"})
