"""UserSvc: who a customer is, and where parcels may go.

It translates, and nothing else; whether the customer may order is decided by the saga.
"""

from __future__ import annotations

from domain.calls import CustomerFetched, FetchCustomer, Outcome, Request, Unknown
from domain.order import Address, Customer
from partners.contract import GET_CUSTOMER
from partners.http import PartnerHttp, segment
from partners.shapes import AddressShape, CustomerShape


class UserClient:
    """The client of UserSvc, over connections that are handed in; ``close`` closes them."""

    def __init__(self, http: PartnerHttp) -> None:
        self._http = http

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    async def perform(self, order_id: str, request: Request) -> Outcome:  # noqa: ARG002 - every client is called alike
        """Make one call. Raises ``TypeError`` for a request that is another partner's."""
        if not isinstance(request, FetchCustomer):
            raise TypeError(f"UserSvc does not answer {type(request).__name__}")
        answer = await self._http.ask(GET_CUSTOMER, f"/customers/{segment(request.customer_id)}")
        if not isinstance(answer, CustomerShape):
            return answer
        if answer.customer_id != request.customer_id:
            return Unknown("200 with another customer")
        return CustomerFetched(
            Customer(
                customer_id=answer.customer_id,
                name=answer.name,
                email=answer.email,
                status=answer.status,
                version=answer.version,
                addresses=tuple(map(_address, answer.addresses)),
            )
        )


def _address(shape: AddressShape) -> Address:
    return Address(
        address_id=shape.address_id,
        line1=shape.line1,
        line2=shape.line2,
        city=shape.city,
        postal_code=shape.postal_code,
        country=shape.country,
    )
