"""What a client team generates from ``/openapi.json`` has every operation, and takes an order through its whole life, typed."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import attrs
import pytest

from tests.acceptance.shop import Shop
from tests.acceptance.started import until

GENERATE_LIMIT_S = 120
PACKAGE = "generated_client"


@pytest.fixture(scope="module")
def generated(document: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package that openapi-python-client makes of the document as it is served."""
    folder = tmp_path_factory.mktemp("client")
    (folder / "openapi.json").write_text(json.dumps(document))
    (folder / "config.yaml").write_text("post_hooks: []\n")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "openapi_python_client", "generate", "--path", "openapi.json"),
            *("--output-path", PACKAGE, "--meta", "none", "--config", "config.yaml", "--fail-on-warning"),
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=GENERATE_LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    sys.path.insert(0, str(folder))
    return folder / PACKAGE


def part(name: str) -> Any:
    return importlib.import_module(f"{PACKAGE}.{name}")


def test_it_has_every_operation(document: Any, generated: Path) -> None:
    wanted = {operation["operationId"] for item in document["paths"].values() for operation in item.values()}
    made = {path.stem.replace("_", "") for path in generated.glob("api/*/*.py") if path.stem != "__init__"}
    assert made == {name.lower() for name in wanted}


def test_a_list_of_codes_that_grows_breaks_no_client(generated: Path) -> None:
    assert re.search(r"^    code: str$", (generated / "models/problem_document.py").read_text(), re.MULTILINE)


def test_every_error_of_every_operation_is_a_problem_document(document: Any, generated: Path) -> None:
    sources = {path.stem.replace("_", ""): path.read_text() for path in generated.glob("api/*/*.py")}
    number = 0
    for operation in (each for item in document["paths"].values() for each in item.values()):
        for status, answer in operation["responses"].items():
            if "application/problem+json" in answer.get("content", {}):
                typed = f"response_{status} = ProblemDocument.from_dict(response.json())"
                assert typed in sources[operation["operationId"].lower()], (operation["operationId"], status)
                number += 1
    assert number > 200


def test_a_body_has_the_members_that_were_set_and_no_others(document: Any, generated: Path) -> None:
    assert generated.exists()
    models = part("models")
    item = {"sku": "S", "quantity": 1}
    order = models.NewOrder(currency=models.OrderCurrency("EUR"), items=[models.NewItem(**item)])
    assert order.to_dict() == {"currency": "EUR", "items": [item]}
    assert models.PromotionChange(active=False).to_dict() == {"active": False}
    promotion = models.NewFreeShipping(code="P", kind="free_shipping")
    assert promotion.to_dict() == {"code": "P", "kind": "free_shipping"}
    for name, schema in document["components"]["schemas"].items():
        if schema.get("additionalProperties") is False:
            begun = {
                each.name for each in attrs.fields(getattr(models, name)) if each.default is not part("types").UNSET
            }
            assert begun <= {*schema.get("required", ())}, name


def test_refusals_are_typed(shop: Shop, generated: Path) -> None:
    assert generated.exists()
    models, clients = part("models"), part("client")
    client = clients.AuthenticatedClient(base_url=shop.endpoints["api"], token=shop.endpoints["token"])
    stranger = clients.AuthenticatedClient(base_url=shop.endpoints["api"], token="none")
    reader = clients.AuthenticatedClient(base_url=shop.endpoints["api"], token=shop.token("orders:read"))
    show, create = part("api.orders.obtener_pedido_por_id").sync, part("api.orders.crear_pedido").sync
    change = part("api.orders.cambiar_estado_pedido").sync
    nothing = models.NewOrder(currency=models.OrderCurrency("EUR"), items=[], customer_id="c-1001")
    order = shop.create()["id"]
    refusals = [
        (show(str(uuid4()), client=client), 404, "order_not_found"),
        (show(order, client=stranger), 401, "invalid_token"),
        (create(client=reader, body=nothing, idempotency_key=str(uuid4())), 403, "insufficient_scope"),
        (create(client=client, body=nothing, idempotency_key=str(uuid4())), 422, "invalid_request"),
        (create(client=client, body=nothing, idempotency_key="k" * 300), 400, "invalid_idempotency_key"),
        (change(order, client=client, body=models.Delivered(status="delivered")), 409, "illegal_transition"),
    ]
    for problem, status, code in refusals:
        assert isinstance(problem, models.ProblemDocument)
        assert (problem.status, problem.code) == (status, code)
    assert [each.pointer for each in refusals[3][0].errors] == ["/items"]
    assert "cancel" in refusals[5][0].allowed


def test_it_takes_an_order_through_its_life(shop: Shop, generated: Path) -> None:
    assert generated.exists()
    models = part("models")
    client = part("client").AuthenticatedClient(base_url=shop.endpoints["api"], token=shop.endpoints["token"])
    orders = part("api.orders.crear_pedido"), part("api.orders.obtener_pedido_por_id")
    create, show = (each.sync for each in orders)
    pay, change = part("api.payments.procesar_pago").sync, part("api.orders.cambiar_estado_pedido").sync

    new = models.NewOrder(
        currency=models.OrderCurrency("EUR"),
        items=[models.NewItem(sku="load-sku-1", quantity=2)],
        customer_id="c-1001",
    )
    order = create(client=client, body=new, idempotency_key=str(uuid4()), prefer="wait=10")
    assert isinstance(order, models.OrderDocument)
    assert (order.status, order.items[0].quantity) == (models.Status.VALIDATED, 2)
    stale = pay(order.id, client=client, body=models.NewPayment(method="card"), idempotency_key="k", if_match='"1"')
    assert isinstance(stale, models.ProblemDocument)
    assert (stale.status, stale.code, stale.current_version) == (412, "version_conflict", order.version)
    payment = pay(order.id, client=client, body=models.NewPayment(method="card"), idempotency_key="k", prefer="wait=10")
    assert isinstance(payment, models.PaymentDocument)
    assert payment.amount == order.totals.total
    until(lambda: show(order.id, client=client).status is models.Status.PREPARED, "the order is prepared")
    shipped = models.Shipped(status="shipped", carrier="SEUR", tracking_number="T-1")
    assert change(order.id, client=client, body=shipped).status is models.Status.SHIPPED
    delivered = change(order.id, client=client, body=models.Delivered(status="delivered"))
    assert delivered.status is models.Status.DELIVERED
    assert delivered.delivered_at is not None
