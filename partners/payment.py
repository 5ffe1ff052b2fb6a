"""PaymentSvc: charges, refunds, and asking what became of them.

It translates, and nothing else. An answer about another payment, refund or order than the one asked about is no word at
all (``Unknown``); one about another amount is passed on, for the order to judge.
"""

from __future__ import annotations

from domain.calls import (
    Charge,
    Outcome,
    PaymentAnswered,
    RefundAnswered,
    RefundPayment,
    Request,
    Unknown,
    Verify,
    VerifyRefund,
)
from domain.limits import AMOUNT_MAX_MINOR
from partners import contract
from partners.http import PartnerHttp, segment
from partners.shapes import ChargeBody, MoneyShape, PaymentShape, RefundBody, RefundShape, encode, same_id

# Nothing is charged that is larger, and the books of an order, which add up, have to fit into int64.
_TOO_LARGE = Unknown("an answer with an amount that is larger than any may be")


class PaymentClient:
    """The client of PaymentSvc, over connections that are handed in; ``close`` closes them."""

    def __init__(self, http: PartnerHttp) -> None:
        self._http = http

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    async def perform(self, order_id: str, request: Request) -> Outcome:
        """Make one call for ``order_id``. Raises ``TypeError`` for a request that is another partner's."""
        match request:
            case Charge():
                return await self._charge(order_id, request)
            case Verify(payment_id):
                answer = await self._http.ask(contract.GET_PAYMENT, f"/payments/{segment(payment_id)}")
                return _payment(answer, order_id, payment_id) if isinstance(answer, PaymentShape) else answer
            case RefundPayment():
                return await self._refund_payment(request)
            case VerifyRefund(refund_id):
                refund = await self._http.ask(contract.GET_REFUND, f"/refunds/{segment(refund_id)}")
                return _refund(refund, refund_id) if isinstance(refund, RefundShape) else refund
        raise TypeError(f"PaymentSvc does not answer {type(request).__name__}")

    async def _charge(self, order_id: str, charge: Charge) -> Outcome:
        body = ChargeBody(
            charge.payment_id, order_id, charge.customer_id, MoneyShape.of(charge.amount), charge.method, charge.token
        )
        answer = await self._http.ask(contract.CHARGE, "/payments", body=encode(body))
        return _payment(answer, order_id, charge.payment_id) if isinstance(answer, PaymentShape) else answer

    async def _refund_payment(self, refund: RefundPayment) -> Outcome:
        body = RefundBody(refund.refund_id, refund.payment_id, MoneyShape.of(refund.amount), refund.reason)
        answer = await self._http.ask(contract.REFUND, "/refunds", body=encode(body))
        if isinstance(answer, RefundShape) and not same_id(answer.payment_id, refund.payment_id):
            return Unknown("an answer about another payment's refund")
        return _refund(answer, refund.refund_id) if isinstance(answer, RefundShape) else answer


def _payment(shape: PaymentShape, order_id: str, payment_id: str) -> Outcome:
    if shape.amount.amount > AMOUNT_MAX_MINOR:
        return _TOO_LARGE
    if not (same_id(shape.payment_id, payment_id) and same_id(shape.order_id, order_id)):
        return Unknown("an answer about another payment")
    return PaymentAnswered(
        payment_id=payment_id,
        status=shape.status,
        amount=shape.amount.value(),
        code=shape.code,
        gateway_ref=shape.gateway_ref,
    )


def _refund(shape: RefundShape, refund_id: str) -> Outcome:
    if not same_id(shape.refund_id, refund_id):
        return Unknown("an answer about another refund")
    if shape.amount.amount > AMOUNT_MAX_MINOR:
        return _TOO_LARGE
    return RefundAnswered(refund_id=refund_id, status=shape.status, amount=shape.amount.value())
