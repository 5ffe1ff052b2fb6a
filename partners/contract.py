"""What each operation of the partners may answer, as contracts/partners.yaml says: the one place that knows it.

A table and nothing else. What it does not name was not said by the partner (partners/responses.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from partners.shapes import CustomerShape, HoldShape, PaymentShape, ProductsShape, Reader, RefundShape

T_co = TypeVar("T_co", covariant=True)

INVALID_REQUEST: Final = (422, "invalid_request")  # every operation may say so


@dataclass(frozen=True, slots=True, kw_only=True)
class PartnerOperation(Generic[T_co]):
    """``success``: the statuses whose body is read with ``reader``; ``refusals``: the other statuses, each with its codes."""

    method: str
    reader: Reader[T_co]
    success: tuple[int, ...] = (200,)
    refusals: tuple[tuple[int, str], ...] = ()

    def names(self, status: int, code: str) -> bool:
        """Tell whether the contract names this code at this status."""
        return (status, code) == INVALID_REQUEST or (status, code) in self.refusals


_HOLD: Final = Reader(HoldShape)
_PAYMENT: Final = Reader(PaymentShape)
_REFUND: Final = Reader(RefundShape)

FETCH_PRODUCTS: Final = PartnerOperation(method="GET", reader=Reader(ProductsShape))
PUT_HOLD: Final = PartnerOperation(
    method="PUT",
    reader=_HOLD,
    refusals=(
        (409, "out_of_stock"),
        (409, "stale_revision"),
        (409, "already_committed"),
        (409, "hold_released"),
        (409, "conflict"),
    ),
)
COMMIT_HOLD: Final = PartnerOperation(
    method="POST",
    reader=_HOLD,
    refusals=((404, "hold_not_found"), (409, "hold_expired"), (409, "hold_released"), (409, "stale_revision")),
)
RELEASE_HOLD: Final = PartnerOperation(method="DELETE", reader=_HOLD)
CHARGE: Final = PartnerOperation(method="POST", reader=_PAYMENT, success=(200, 202), refusals=((409, "conflict"),))
GET_PAYMENT: Final = PartnerOperation(method="GET", reader=_PAYMENT, refusals=((404, "payment_not_found"),))
REFUND: Final = PartnerOperation(
    method="POST",
    reader=_REFUND,
    success=(200, 202),
    refusals=((404, "payment_not_found"), (409, "exceeds_captured"), (409, "conflict")),
)
GET_REFUND: Final = PartnerOperation(method="GET", reader=_REFUND, refusals=((404, "refund_not_found"),))
GET_CUSTOMER: Final = PartnerOperation(
    method="GET", reader=Reader(CustomerShape), refusals=((404, "customer_not_found"),)
)
