"""What staff do about what stands still: orders that need attention, and messages that could not be handled.

Translates between HTTP and commands. The rules are in the order.
"""

from __future__ import annotations

from typing import Annotated, Any, assert_never

from fastapi import APIRouter, Query
from starlette.responses import Response

from api.access.contexts import StaffReader, StaffWriter
from api.access.replays import Keep, once
from api.openapi.described import Success, described
from api.resources.orders import THE_ORDER, order_response
from api.shapes import documents as doc
from api.shapes import schemas
from api.shapes.ids import DeadLetterId, OrderId
from api.shapes.queries import DeadLettersQuery
from api.shapes.responses import encode, json_response
from domain.commands import MarkSettled, Record, RetryNow, SkipToCompensation
from domain.errors import RefusalKind, Refused
from messaging.consuming.dead_letters import DeadLetter

BODY_SHOWN_MAX_BYTES = 8192

router = APIRouter(tags=["staff"])


@router.post(
    "/api/orders/{order_id}/attention",
    operation_id="AtenderPedido",
    summary="Do something about an order that needs attention",
    **described(
        {200: THE_ORDER},
        "order_not_found",
        "subject_not_found",
        "illegal_transition",
        "nothing_to_settle",
        "already_decided",
        "refund_in_progress",
        "amount_out_of_range",
        "too_many_refund_attempts",
        "outcome_not_applicable",
        "invalid_amount",
        "invalid_currency",
        body=schemas.AttentionVerb,
        key="optional",
        if_match=True,
    ),
)
async def attend(ctx: StaffWriter, order_id: OrderId) -> Response:
    """Retry every step at once, give up going forward, or say what was settled outside: the stock, or money."""
    verb = (await ctx.body(schemas.AttentionVerb)).root
    command: RetryNow | SkipToCompensation | MarkSettled | Record
    match verb:
        case schemas.RetryNow(note=note):
            command = RetryNow(note)
        case schemas.SkipToCompensation(note=note):
            command = SkipToCompensation(note)
        case schemas.MarkSettled(note=note):
            command = MarkSettled(note)
        case schemas.Record():
            command = Record(
                subject=verb.subject,
                outcome=verb.outcome,
                amount=verb.amount,
                currency=verb.currency,
                reference=verb.reference,
                note=verb.note,
            )
        case _:
            assert_never(verb)
    return order_response(200, await ctx.ask(order_id, command, by_staff=True))


@router.get(
    "/api/dead-letters",
    operation_id="ListarMensajesMuertos",
    summary="List messages that could not be handled",
    **described({200: Success("The oldest", doc.DeadLettersDocument)}, query=True),
)
async def list_dead_letters(ctx: StaffReader, query: Annotated[DeadLettersQuery, Query()]) -> Response:
    """The oldest dead letters; they stay where they are."""
    letters = await ctx.services.dead_letters.list(limit=query.limit)
    return json_response(200, encode({"data": [represent_dead_letter(letter) for letter in letters]}))


@router.get(
    "/api/dead-letters/{letter_id}",
    operation_id="ObtenerMensajeMuerto",
    summary="Show a dead letter",
    **described({200: Success("The dead letter", doc.DeadLetterDocument)}, "dead_letter_not_found"),
)
async def show_dead_letter(ctx: StaffReader, letter_id: DeadLetterId) -> Response:
    """A message that could not be handled, and why; of a long body the beginning is shown."""
    letter = await ctx.services.dead_letters.find(letter_id)
    if letter is None:
        raise _not_found()
    return json_response(200, encode(represent_dead_letter(letter)))


@router.post(
    "/api/dead-letters/{letter_id}/resend",
    operation_id="ReenviarMensajeMuerto",
    summary="Send a dead letter again",
    status_code=204,
    **described({204: Success("It was sent")}, "dead_letter_not_found", key="optional"),
)
async def resend_dead_letter(ctx: StaffWriter, letter_id: DeadLetterId) -> Response:
    """The message goes to our inbox again; other consumers of the partner's exchange don't get it."""

    async def resend(keep: Keep) -> Response:
        # RabbitMQ and PostgreSQL share no transaction: a crash between them leaves the key unused, and the letter gone.
        if not await ctx.services.dead_letters.resend(letter_id):
            raise _not_found()
        response = Response(status_code=204)
        kept = keep(response)
        if kept is not None:
            await ctx.services.answers.keep(kept)
        return response

    return await once(ctx, resend)


def represent_dead_letter(letter: DeadLetter) -> dict[str, Any]:
    """Give a dead letter's document; ``id`` stands for its content, and of a long body the beginning is shown."""
    return {
        "id": letter.key,
        "message_id": letter.message_id,
        "reason": letter.reason,
        "detail": letter.detail,
        "attempts": letter.attempts,
        "exchange": letter.exchange,
        "routing_key": letter.routing_key,
        "first_received": letter.first_received,
        "size_bytes": letter.size_bytes,
        "body": letter.body[:BODY_SHOWN_MAX_BYTES].decode("utf-8", "replace"),
    }


def _not_found() -> Refused:
    return Refused(RefusalKind.NOT_FOUND, "dead_letter_not_found", "There is no such dead letter.")
