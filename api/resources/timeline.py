"""An order's history: every event it had, and how long each stage took.

Reads only.
"""

from __future__ import annotations

from datetime import datetime
from itertools import pairwise
from typing import Any

import msgspec
from fastapi import APIRouter
from starlette.responses import Response

from api.access.contexts import OrdersReader
from api.openapi.described import Success, described
from api.shapes import order_documents as doc
from api.shapes.ids import OrderId
from api.shapes.responses import encode, json_response
from domain.commands import ActorType
from domain.order import Order, Stage, Status
from domain.representation import time_text
from storage.writes.commits import StoredEvent

router = APIRouter(tags=["orders"])


class _Data(msgspec.Struct):
    status: str = ""
    changed: list[str] = []
    note: str | None = None


class _Body(msgspec.Struct):
    """What the timeline shows of an event's CloudEvent."""

    data: _Data


_body = msgspec.json.Decoder(_Body).decode


@router.get(
    "/api/orders/{order_id}/timeline",
    operation_id="ObtenerHistorialDePedido",
    summary="Show an order's history",
    **described({200: Success("Its events and stages", doc.TimelineDocument)}, "order_not_found"),
)
async def show_timeline(ctx: OrdersReader, order_id: OrderId) -> Response:
    """Every event of the order, oldest first, and how long each stage took."""
    order = await ctx.services.reader.order(order_id, ctx.caller)
    events = await ctx.services.queries.timeline(order.id)
    return json_response(200, encode(represent_timeline(order, events, to_staff=ctx.caller.sees_internals)))


def represent_timeline(order: Order, events: tuple[StoredEvent, ...], *, to_staff: bool) -> dict[str, Any]:
    """Give the timeline's document: ``data`` oldest first, ``stages`` in the order they were gone through.

    Who of the staff it was, and what they noted, is shown ``to_staff`` only.
    """
    data: list[dict[str, Any]] = []
    gave_up_at: datetime | None = None
    for event in events:
        said = _body(event.body).data
        if gave_up_at is None and said.status in (Status.CANCELLING, Status.CANCELLED):
            gave_up_at = event.at
        row = {
            "sequence": event.sequence,
            "type": event.type,
            "at": time_text(event.at),
            "version": event.version,
            "actor": _actor(event, to_staff=to_staff),
            "changed": said.changed,
        }
        if to_staff and said.note is not None:
            row["note"] = said.note
        data.append(row)
    return {"data": data, "stages": _stages(order, gave_up_at or order.cancelled_at)}


def _actor(event: StoredEvent, *, to_staff: bool) -> dict[str, str]:
    if event.actor_type == ActorType.STAFF and not to_staff:
        return {"type": event.actor_type}
    return {"type": event.actor_type, "id": event.actor_id}


def _stages(order: Order, gave_up_at: datetime | None) -> list[dict[str, Any]]:
    """The stages that were begun. The one in which an order was given up ends when compensation begins."""
    reached: list[tuple[Stage, datetime | None]] = [
        (Stage.CREATE, order.created_at),
        (Stage.VALIDATE, order.validated_at),
        (Stage.PAY, order.paid_at),
        (Stage.CONFIRM, order.confirmed_at),
        (Stage.PREPARE, order.prepared_at),
        (Stage.SHIP, order.shipped_at),
        (Stage.DELIVER, order.delivered_at),
    ]
    stages = [_stage(Stage.CREATE, order.created_at, order.created_at)]
    for (_, started_at), (stage, finished_at) in pairwise(reached):
        if started_at is None:
            break
        stages.append(_stage(stage, started_at, finished_at or gave_up_at))
    if gave_up_at is not None:
        stages.append(_stage(Stage.COMPENSATE, gave_up_at, order.cancelled_at))
    return stages


def _stage(stage: Stage, started_at: datetime, finished_at: datetime | None) -> dict[str, Any]:
    took = None if finished_at is None else max(0, round((finished_at - started_at).total_seconds() * 1000))
    return {
        "stage": stage.value,
        "started_at": time_text(started_at),
        "finished_at": None if finished_at is None else time_text(finished_at),
        "duration_ms": took,
    }
