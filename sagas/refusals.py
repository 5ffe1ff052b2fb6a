"""How the state machine says no: refusals with the codes of docs/contract.md, each made in one place."""

from __future__ import annotations

from domain.commands import Message
from domain.errors import FieldError, RefusalKind, Refused
from domain.order import Order
from domain.totals_and_statuses import allowed
from sagas.decision_builder import DecisionBuilder


def illegal(builder: DecisionBuilder, command: str) -> Refused:
    """The order's status does not allow the command; says which are allowed."""
    order = builder.order
    return Refused(
        RefusalKind.CONFLICT,
        "illegal_transition",
        f"{command} is not possible in an order that is {order.status.value}",
        allowed=allowed(order, builder.now, payment_attempts_max=builder.rules.payment_attempts_max),
    )


def conflict(code: str, detail: str) -> Refused:
    """Not in this state (409)."""
    return Refused(RefusalKind.CONFLICT, code, detail)


def unprocessable(code: str, detail: str, pointer: str) -> Refused:
    """Understood, but against the rules (422); ``pointer`` is the place in the command that they forbid, as a JSON pointer."""
    fault = FieldError(pointer, code, detail[:1].upper() + detail[1:])
    return Refused(RefusalKind.UNPROCESSABLE, code, detail, errors=(fault,))


def not_found(code: str, detail: str) -> Refused:
    """There is no such thing (404)."""
    return Refused(RefusalKind.NOT_FOUND, code, detail)


def require_visible(order: Order, message: Message) -> None:
    """Raise ``Refused`` ``order_not_found`` where the order does not exist for the sender: it is another customer's."""
    if message.customer_scope is not None and message.customer_scope != order.customer_id:
        raise not_found("order_not_found", "there is no such order")
