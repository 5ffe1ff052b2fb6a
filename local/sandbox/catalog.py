"""What is for sale and who buys, before anybody changed it: twenty products, a dozen customers, and what a load needs.

Any ``load-sku-<n>`` and ``load-customer-<n>`` exists (n without leading zeros, up to seven digits), with plenty of
stock.
"""

from __future__ import annotations

from typing import Final

from local.sandbox.records import CustomerRecord, ProductRecord

PLENTY: Final = 1_000_000_000
LOAD_SKU: Final = "load-sku-"
LOAD_CUSTOMER: Final = "load-customer-"
LOAD_DIGITS_MAX: Final = 7
TAX_RATES: Final = ("0.2100", "0.1000", "0.0400", "0")

# sku, name, price in euro cents, tax rate, stock
_SHELF: Final = (
    ("sku-coffee", "Coffee, 1 kg", 1850, "0.1000", PLENTY),
    ("sku-tea", "Green tea, 100 g", 720, "0.1000", PLENTY),
    ("sku-bread", "Sourdough bread", 395, "0.0400", PLENTY),
    ("sku-milk", "Milk, 1 l", 119, "0.0400", PLENTY),
    ("sku-book", "A book on queues", 2995, "0.0400", PLENTY),
    ("sku-mug", "Mug", 1290, "0.2100", PLENTY),
    ("sku-kettle", "Kettle", 4999, "0.2100", PLENTY),
    ("sku-grinder", "Coffee grinder", 18_900, "0.2100", PLENTY),
    ("sku-espresso", "Espresso machine", 64_900, "0.2100", PLENTY),
    ("sku-filter", "Paper filters, 100", 350, "0.2100", PLENTY),
    ("sku-scale", "Scale", 3333, "0.2100", PLENTY),
    ("sku-spoon", "Spoon", 1, "0.2100", PLENTY),
    ("sku-stamp", "Postage stamp", 100, "0", PLENTY),
    ("sku-gift", "Gift, free of charge", 0, "0.2100", PLENTY),
    ("sku-sofa", "Sofa", 129_999, "0.2100", 500),
    ("sku-few", "Ten of a kind", 2500, "0.2100", 10),
    ("sku-last-unit", "The last unit", 9900, "0.2100", 1),
    ("sku-sold-out", "Sold out", 1500, "0.2100", 0),
    ("sku-not-sellable", "Not for sale", 1500, "0.2100", PLENTY),
    ("sku-eur-only", "Priced in euros only", 1000, "0.2100", PLENTY),
)


def _prices(euro_cents: int) -> dict[str, int]:
    """Round prices in five currencies, in minor units: the yen has none, the dinar three digits."""
    return {
        "EUR": euro_cents,
        "USD": euro_cents * 11 // 10,
        "GBP": euro_cents * 17 // 20,
        "JPY": euro_cents * 8 // 5,
        "KWD": euro_cents * 10 // 3,
    }


def products() -> list[ProductRecord]:
    """The shelf as it is on the first day."""
    return [
        ProductRecord(
            sku=sku,
            name=name,
            prices={"EUR": euro_cents} if sku == "sku-eur-only" else _prices(euro_cents),
            tax_rate=tax_rate,
            stock=stock,
            sellable=sku != "sku-not-sellable",
        )
        for sku, name, euro_cents, tax_rate, stock in _SHELF
    ]


def customers() -> list[CustomerRecord]:
    """The customers of the first day: ``c-1001`` to ``c-1010``, ``c-blocked``, and one without an address."""
    known = [_customer(f"c-{number}", f"Customer {number}") for number in range(1001, 1011)]
    blocked = _customer("c-blocked", "Blocked Customer")
    blocked.status = "blocked"
    homeless = _customer("c-no-address", "Customer Without Address")
    homeless.addresses = []
    return [*known, blocked, homeless]


def load_product(sku: str) -> ProductRecord | None:
    """The made-up product of a load test, always the same for the same sku; None when ``sku`` is not of that form."""
    number = _number(sku, LOAD_SKU)
    if number is None:
        return None
    rate = TAX_RATES[number % len(TAX_RATES)]
    return ProductRecord(sku, f"Load product {number}", _prices(100 + number * 37 % 9_900), rate, PLENTY)


def load_customer(customer_id: str) -> CustomerRecord | None:
    """The made-up customer of a load test; None when the id is not of that form."""
    number = _number(customer_id, LOAD_CUSTOMER)
    return None if number is None else _customer(customer_id, f"Load customer {number}")


def _number(text: str, prefix: str) -> int | None:
    digits = text.removeprefix(prefix)
    if digits == text or not (digits.isascii() and digits.isdigit()) or len(digits) > LOAD_DIGITS_MAX:
        return None
    return int(digits) if digits == "0" or digits[0] != "0" else None


def _customer(customer_id: str, name: str) -> CustomerRecord:
    return CustomerRecord(
        customer_id=customer_id,
        name=name,
        email=f"{customer_id}@example.test",
        addresses=[
            {
                "address_id": "home",
                "line1": "Calle Mayor 1",
                "city": "Madrid",
                "postal_code": "28013",
                "country": "ES",
            },
            {
                "address_id": "work",
                "line1": "Gran Via 28",
                "line2": "4th floor",
                "city": "Madrid",
                "postal_code": "28013",
                "country": "ES",
            },
        ],
    )
