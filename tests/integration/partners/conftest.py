"""Partners to test against: the ones named by the environment, else the sandbox.

``ORDERSVC_TEST_PRODUCT_URL``, ``…_PAYMENT_URL`` and ``…_USER_URL`` name another implementation of the contract, which
then needs: a sellable sku in stock and priced in EUR (``ORDERSVC_TEST_SKU``), an active customer with an address
(``ORDERSVC_TEST_CUSTOMER``), and tokens for a charge that is declined and one that is settled later
(``ORDERSVC_TEST_TOKEN_DECLINED``, ``ORDERSVC_TEST_TOKEN_PROCESSING``).
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from partners.http import PartnerHttp
from partners.payment import PaymentClient
from partners.product import ProductClient
from partners.user import UserClient
from tests.integration.local_sandbox.process import SandboxProcess

CALL_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PartnerUrls:
    """Where the three partners are."""

    product: str
    payment: str
    user: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Partners:
    """A client of each partner, and the names that the partners know."""

    product: ProductClient
    payment: PaymentClient
    user: UserClient
    sku: str
    customer_id: str
    token_declined: str
    token_processing: str


def _given(name: str, default: str = "") -> str:
    return os.environ.get(f"ORDERSVC_TEST_{name}", default)


@pytest.fixture(scope="session")
def partner_urls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PartnerUrls]:
    """The partners' URLs; the sandbox is started when one of them is not given."""
    given = PartnerUrls(product=_given("PRODUCT_URL"), payment=_given("PAYMENT_URL"), user=_given("USER_URL"))
    if given.product and given.payment and given.user:
        yield given
        return
    folder: Path = tmp_path_factory.mktemp("sandbox")
    sandbox = SandboxProcess(folder)
    sandbox.start()
    yield PartnerUrls(
        product=given.product or f"{sandbox.url}/product",
        payment=given.payment or f"{sandbox.url}/payment",
        user=given.user or f"{sandbox.url}/user",
    )
    sandbox.stop()


@pytest.fixture
async def partners(partner_urls: PartnerUrls) -> AsyncIterator[Partners]:
    """Clients of all three, closed at the end."""
    urls = (partner_urls.product, partner_urls.payment, partner_urls.user)
    connections = [PartnerHttp(url, call_timeout_s=CALL_TIMEOUT_S, connections_max=64) for url in urls]
    yield Partners(
        product=ProductClient(connections[0]),
        payment=PaymentClient(connections[1]),
        user=UserClient(connections[2]),
        sku=_given("SKU", "sku-sofa"),
        customer_id=_given("CUSTOMER", "c-1001"),
        token_declined=_given("TOKEN_DECLINED", "tok_declined"),
        token_processing=_given("TOKEN_PROCESSING", "tok_processing"),
    )
    for connection in connections:
        await connection.close()
