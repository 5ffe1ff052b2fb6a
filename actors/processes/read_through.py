"""A partner's calls, answered from copies in Redis where a fresh one is kept; what the partner answers is kept for the others.

It stands before the bulkhead: a copy is there also while the partner is not.
"""

from __future__ import annotations

from actors.processes.call_worker import PartnerCaller
from domain.calls import Call, CustomerFetched, FetchCustomer, FetchProducts, Outcome, ProductsFetched
from domain.commands import CallAnswered
from storage.reads.reference_data import ReferenceCopies


class ReadThrough:
    """Looks for a copy before it asks ``caller``."""

    def __init__(self, caller: PartnerCaller, copies: ReferenceCopies) -> None:
        self._caller = caller
        self._copies = copies

    async def call(self, call: Call) -> CallAnswered:
        """Give a copy, or what the partner answers. Only the first try of a step takes a copy: it may be why there is another."""
        copy = await self._copy(call) if call.attempt <= 1 else None
        if copy is not None:
            return CallAnswered(call.key, call.attempt, copy)
        answered = await self._caller.call(call)
        match answered.outcome:
            case ProductsFetched(products):
                await self._copies.keep_products(products)
            case CustomerFetched(customer):
                await self._copies.keep_customer(customer)
        return answered

    async def _copy(self, call: Call) -> Outcome | None:
        match call.request:
            case FetchProducts(skus, currency):
                products = await self._copies.products(skus, currency)
                return None if products is None else ProductsFetched(products.value, products.age_s)
            case FetchCustomer(customer_id):
                customer = await self._copies.customer(customer_id)
                return None if customer is None else CustomerFetched(customer.value, customer.age_s)
        return None
