"""ProductSvc: products and prices, and stock held, committed and given back.

It translates, and nothing else: what an answer means for the order is decided by the saga.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from urllib.parse import quote

from domain.calls import (
    CommitHold,
    FetchProducts,
    Hold,
    HoldAnswered,
    Outcome,
    ProductsFetched,
    ReleaseHold,
    Request,
    Unknown,
)
from domain.money import fraction
from domain.order import Product
from partners import contract
from partners.contract import PartnerOperation
from partners.http import PartnerHttp, segment
from partners.shapes import (
    CommitBody,
    HoldBody,
    HoldLineBody,
    HoldShape,
    ProductShape,
    ProductsShape,
    encode,
    instant,
    same_id,
)

SKUS_A_REQUEST_MAX: Final = 200
QUERY_MAX_CHARACTERS: Final = 6_000  # many servers refuse a request line above 8 KiB


class ProductClient:
    """The client of ProductSvc, over connections that are handed in; ``close`` closes them."""

    def __init__(self, http: PartnerHttp) -> None:
        self._http = http

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    async def perform(self, order_id: str, request: Request) -> Outcome:
        """Make one call for ``order_id``. Raises ``TypeError`` for a request that is another partner's."""
        match request:
            case FetchProducts(skus, currency):
                return await self._fetch(skus, currency)
            case Hold(revision, expires_at, lines):
                wanted = [HoldLineBody(line.sku, line.quantity) for line in lines]
                body = HoldBody(revision, instant(expires_at), wanted)
                return await self._hold(contract.PUT_HOLD, order_id, "", encode(body))
            case CommitHold(revision):
                return await self._hold(contract.COMMIT_HOLD, order_id, "/commit", encode(CommitBody(revision)))
            case ReleaseHold():
                return await self._hold(contract.RELEASE_HOLD, order_id, "", None)
        raise TypeError(f"ProductSvc does not answer {type(request).__name__}")

    async def _fetch(self, skus: tuple[str, ...], currency: str) -> Outcome:
        """Ask for each sku once, in as many requests as are needed; the first that fails is the answer to all."""
        products: dict[str, Product] = {}
        wanted = dict.fromkeys(skus)
        for query in _queries(wanted, currency):
            answer = await self._http.ask(contract.FETCH_PRODUCTS, f"/products?{query}")
            if not isinstance(answer, ProductsShape):
                return answer
            try:
                for shape in answer.products:
                    if shape.sku in wanted and shape.unit_price.currency == currency:
                        products[shape.sku] = _product(shape)
            except ValueError as error:
                return Unknown(f"200 with an answer against the contract: tax_rate: {error}")
        return ProductsFetched(tuple(products.values()))

    async def _hold(
        self, operation: PartnerOperation[HoldShape], order_id: str, verb: str, body: bytes | None
    ) -> Outcome:
        answer = await self._http.ask(operation, f"/holds/{segment(order_id)}{verb}", body=body)
        if not isinstance(answer, HoldShape):
            return answer
        if not same_id(answer.order_id, order_id):
            return Unknown("200 with another order's hold")
        return HoldAnswered(answer.revision, answer.state)


def _queries(skus: dict[str, None], currency: str) -> Iterator[str]:
    """Split ``skus`` into query strings within both limits."""
    head = f"currency={quote(currency, safe='')}"
    parts: list[str] = []
    length = 0
    for sku in skus:
        part = f"sku={quote(sku, safe='')}"
        if parts and (len(parts) == SKUS_A_REQUEST_MAX or length + len(part) + 1 > QUERY_MAX_CHARACTERS):
            yield "&".join((*parts, head))
            parts, length = [], 0
        parts.append(part)
        length += len(part) + 1
    if parts:
        yield "&".join((*parts, head))


def _product(shape: ProductShape) -> Product:
    fraction(shape.tax_rate)
    return Product(
        sku=shape.sku,
        name=shape.name,
        unit_price=shape.unit_price.amount,
        currency=shape.unit_price.currency,
        tax_rate=shape.tax_rate,
        available=shape.available,
        sellable=shape.sellable,
        version=shape.version,
    )
