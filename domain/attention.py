"""Why an order needs attention: the closed list of reasons, and under which key a note of each stands.

A note about a step stands under the step's key and goes away with it; one about money stands under the payment or the
refund that it is about, one note each, until the money is where it belongs or staff have said what is so.
"""

from __future__ import annotations

from enum import StrEnum

from domain.payments import Payment, Refund


class AttentionReason(StrEnum):
    """What ``Attention.reason`` may be; the verbs that end each are in docs/operations.md."""

    STEP_EXHAUSTED = "step_exhausted"  # a step has used up its fast tries and goes on slowly
    CREDENTIALS_REFUSED = "credentials_refused"  # 401 or 403: something between us and the partner does not let us in
    RELEASE_DECLINED = "release_declined"  # ProductSvc does not take the stock back; it goes on being asked to
    PAYMENT_MISMATCHED = "payment_mismatched"  # another amount or currency was taken than was asked for
    PAYMENT_UNDECIDED = "payment_undecided"  # no final word on a payment for PAYMENT_ATTENTION_S
    PAYMENT_CONTRADICTED = "payment_contradicted"  # a later word on a payment says something else than an earlier one
    REFUND_REJECTED = "refund_rejected"  # PaymentSvc did not give the money back
    REFUND_MISMATCHED = "refund_mismatched"  # another amount or currency was given back than was asked for
    REFUND_UNDECIDED = "refund_undecided"  # no final word on a refund for PAYMENT_ATTENTION_S
    REFUND_CONTRADICTED = "refund_contradicted"  # a later word on a refund says something else than an earlier one


# What is true of money that was moved is true of a closed order as well; everything else ends with the order's life.
OUTLIVE_CANCELLING = (
    AttentionReason.PAYMENT_CONTRADICTED,
    AttentionReason.PAYMENT_UNDECIDED,  # only of a payment that counted as never made: no other is left undecided
    AttentionReason.REFUND_CONTRADICTED,
    AttentionReason.REFUND_MISMATCHED,
)


def payment_key(payment: Payment) -> str:
    """Give the key of the note about a payment's money."""
    return f"payment:{payment.payment_id}"


def refund_key(refund: Refund) -> str:
    """Give the key of the note about a refund's money."""
    return f"refund:{refund.refund_id}"
