"""UserSvc: customers and their addresses, as contracts/partners.yaml says. State and rules only."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from local.sandbox import catalog
from local.sandbox.records import CustomerRecord
from local.sandbox.responses import EmulatedResponse, not_found, ok


class Customers:
    """All customers; ``keep`` stores a changed record."""

    def __init__(self, keep: Callable[[CustomerRecord], None]) -> None:
        self._keep = keep
        self._customers = {customer.customer_id: customer for customer in catalog.customers()}

    def get(self, customer_id: str) -> EmulatedResponse:
        """GET /customers/{customer_id}."""
        customer = self._customer(customer_id)
        return not_found("customer") if customer is None else ok(shown(customer))

    def change(self, customer_id: str, changes: Mapping[str, Any]) -> CustomerRecord:
        """Change or add a customer: any fields but its id and ``version``, which grows.

        Raises ``msgspec.ValidationError`` when they are not of the record's types.
        """
        known = self._customer(customer_id) or CustomerRecord(
            customer_id=customer_id, name=customer_id, email=f"{customer_id}@example.test", addresses=[], version=0
        )
        fields = msgspec.to_builtins(known) | dict(changes)
        fields |= {"customer_id": customer_id, "version": known.version + 1}
        customer = msgspec.convert(fields, CustomerRecord)
        self._keep(customer)
        self._customers[customer_id] = customer
        return customer

    def restore(self, record: CustomerRecord) -> None:
        """Take back in what was kept."""
        self._customers[record.customer_id] = record

    def records(self) -> Iterator[CustomerRecord]:
        """Everything there is to keep."""
        yield from self._customers.values()

    def _customer(self, customer_id: str) -> CustomerRecord | None:
        return self._customers.get(customer_id) or catalog.load_customer(customer_id)


def shown(customer: CustomerRecord) -> dict[str, Any]:
    """The customer as the wire shows it."""
    return {
        "customer_id": customer.customer_id,
        "name": customer.name,
        "email": customer.email,
        "status": customer.status,
        "version": customer.version,
        "addresses": customer.addresses,
    }
