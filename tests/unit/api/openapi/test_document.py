from __future__ import annotations

import re
from typing import Any

import jsonschema
import pytest

from api.problems import CODES
from domain.order import Address, Customer, Status
from domain.payments import PaymentStatus, Refund, RefundStatus, Transaction, TransactionType
from domain.promotions import Discount, Promotion, PromotionKind
from domain.shipments import Shipment, ShipmentLine, ShipmentStatus
from storage.reads.order_queries import OrderPage
from tests.unit.api.access.test_security import MATRIX
from tests.unit.api.harness import NOW, ORDER_ID, PAYMENT_ID, World, a_payment, an_order, token


@pytest.fixture
async def document(world: World) -> dict[str, Any]:
    described: dict[str, Any] = (await world.ask("GET", "/openapi.json")).json
    return described


def operations_of(document: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (method.upper(), path): operation
        for path, item in document["paths"].items()
        for method, operation in item.items()
    }


def references(node: Any) -> set[str]:
    if isinstance(node, dict):
        own = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
        return own.union(*(references(each) for each in node.values()))
    return set().union(*(references(each) for each in node)) if isinstance(node, list) else set()


async def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    for reference in references(document):
        node: Any = document
        for part in reference.removeprefix("#/").split("/"):
            node = node[part]
        assert node


async def test_every_operation_says_who_may_use_it(document: dict[str, Any]) -> None:
    operations = operations_of(document)
    for method, path, scope in MATRIX:
        matching = [
            operation
            for (of_method, template), operation in operations.items()
            if of_method == method and re.fullmatch(re.sub(r"{\w+}", "[^/]+", template), path)
        ]
        assert any({"bearer": [scope]} in operation["security"] for operation in matching), (method, path)


async def test_every_operation_has_an_id_of_its_own_and_describes_its_path(document: dict[str, Any]) -> None:
    operations = operations_of(document)
    assert len({operation["operationId"] for operation in operations.values()}) == len(operations)
    for (_, path), operation in operations.items():
        described = {each["name"] for each in operation["parameters"] if each["in"] == "path"}
        assert described == set(re.findall(r"{(\w+)}", path))


async def test_every_error_is_a_problem_with_an_example(document: dict[str, Any]) -> None:
    schema = {**document["components"]["schemas"]["ProblemDocument"], "components": document["components"]}
    described: set[str] = set()
    for operation in operations_of(document).values():
        for status, answer in operation["responses"].items():
            if "application/problem+json" not in answer.get("content", {}):
                assert int(status) < 400 or status == "503"
                continue
            for code, example in answer["content"]["application/problem+json"]["examples"].items():
                jsonschema.validate(example["value"], schema)
                is_no_such_discount_here = (code, status) == ("discount_not_found", "404")
                assert str(CODES[code][0]) == status or is_no_such_discount_here
                described.add(code)
    # What routing says is no operation's. A text that can't be sent to its order is refused where it is read already, by what
    # reads it; should one come through, it is told as such. The rest can be said by some operation.
    assert set(CODES) - described <= {"not_found", "method_not_allowed", "invalid_text"}


async def test_every_body_has_examples_that_fit_it(document: dict[str, Any]) -> None:
    for operation in operations_of(document).values():
        if "requestBody" not in operation:
            continue
        media = operation["requestBody"]["content"]["application/json"]
        schema = {**media["schema"], "components": document["components"]}
        for example in media.get("examples", {}).values():
            jsonschema.validate(example["value"], schema)


async def test_keys_are_described_where_they_are_heeded(document: dict[str, Any]) -> None:
    for (method, path), operation in operations_of(document).items():
        keys = [each for each in operation["parameters"] if each["name"] == "Idempotency-Key"]
        assert bool(keys) == (method != "GET"), (method, path)
        required = method == "POST" and path in ("/api/orders", "/api/orders/{order_id}/payments")
        assert any(each["required"] for each in keys) == required


async def test_links_lead_to_operations_and_fill_their_paths(document: dict[str, Any]) -> None:
    by_id = {operation["operationId"]: operation for operation in operations_of(document).values()}
    reached: set[str] = set()
    for operation in by_id.values():
        for answer in operation["responses"].values():
            for link in answer.get("links", {}).values():
                described = {each["name"] for each in by_id[link["operationId"]]["parameters"] if each["in"] == "path"}
                assert set(link["parameters"]) == described
                reached.add(link["operationId"])
    with_a_path = {each["operationId"] for (_, path), each in operations_of(document).items() if "{" in path}
    assert reached == with_a_path


async def test_an_order_may_have_the_currencies_and_the_methods_that_have_a_price(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    described = schemas["NewOrder"]["properties"]
    assert described["currency"] == {"$ref": "#/components/schemas/OrderCurrency"}
    assert schemas["OrderCurrency"]["enum"] == ["EUR", "JPY"]
    assert described["shipping_method"]["anyOf"] == [{"$ref": "#/components/schemas/ShippingMethod"}, {"type": "null"}]
    assert schemas["ShippingMethod"]["enum"] == ["standard", "express"]


def full_order() -> Any:
    promotion = Promotion(code="P", kind=PromotionKind.FREE_SHIPPING)
    refund = Refund(refund_id=PAYMENT_ID, status=RefundStatus.REFUNDED, amount=1, reason="late", created_at=NOW)
    return an_order(
        status=Status.SHIPPED,
        number="ORD-000000042",
        customer=Customer(customer_id="c-1001", name="N", email="e@x", status="active", version=1, addresses=()),
        shipping_address=Address(address_id="a", line1="1", line2=None, city="C", postal_code="P", country="ES"),
        discounts=(Discount(code="P", promotion=promotion, amount=0, reason="min_subtotal"),),
        payments=(a_payment(status=PaymentStatus.CONFIRMED, refunds=(refund,)),),
        ledger=(
            Transaction(
                transaction_id=ORDER_ID,
                type=TransactionType.CHARGE,
                payment_id=PAYMENT_ID,
                refund_id=None,
                amount=7125,
                currency="EUR",
                at=NOW,
            ),
        ),
        shipments=(
            Shipment(
                shipment_id=PAYMENT_ID,
                status=ShipmentStatus.SHIPPED,
                carrier="C",
                tracking_number="T",
                tracking_url=None,
                lines=(ShipmentLine(ORDER_ID, 2),),
                shipped_at=NOW,
            ),
        ),
        metadata={"a": "b"},
        validated_at=NOW,
    )


@pytest.mark.parametrize(
    ("path", "template"),
    [
        (f"/api/orders/{ORDER_ID}", "/api/orders/{order_id}"),
        ("/api/orders", "/api/orders"),
        (f"/api/orders/{ORDER_ID}/payments", "/api/orders/{order_id}/payments"),
        (f"/api/orders/{ORDER_ID}/payments/status", "/api/orders/{order_id}/payments/status"),
        (f"/api/orders/{ORDER_ID}/payments/{PAYMENT_ID}", "/api/orders/{order_id}/payments/{payment_id}"),
        (f"/api/orders/{ORDER_ID}/timeline", "/api/orders/{order_id}/timeline"),
        ("/health/ready", "/health/ready"),
        ("/health/live", "/health/live"),
        ("/api/promotions/P", "/api/promotions/{code}"),
    ],
)
async def test_what_is_answered_is_what_is_described(
    world: World, document: dict[str, Any], path: str, template: str
) -> None:
    order = world.queries.keep(full_order())
    world.queries.page = OrderPage((order,), None)
    world.promotions.rows["P"] = Promotion(code="P", kind=PromotionKind.PERCENTAGE, fraction="0.1", starts_at=NOW)
    answered = await world.ask("GET", path, token=token("admin"))
    assert answered.status == 200
    content = document["paths"][template]["get"]["responses"]["200"]["content"]["application/json"]
    jsonschema.validate(answered.json, {**content["schema"], "components": document["components"]})


def nodes(node: Any) -> list[dict[str, Any]]:
    """Every object in a document."""
    if isinstance(node, dict):
        return [node, *(found for each in node.values() for found in nodes(each))]
    return [found for each in node for found in nodes(each)] if isinstance(node, list) else []


async def test_every_integer_has_64_bits(document: dict[str, Any]) -> None:
    """Generated Java, Go and C# have 32 for those of which nothing is said, and an order may be larger."""
    integers = [node for node in nodes(document) if node.get("type") == "integer"]
    assert len(integers) > 50
    assert {node.get("format") for node in integers} == {"int64"}


async def test_a_header_is_one_string(document: dict[str, Any]) -> None:
    """A generator dropped every operation with a header that is either of two."""
    for operation in operations_of(document).values():
        for parameter in operation["parameters"]:
            if parameter["in"] == "header":
                assert parameter["schema"]["type"] == "string", parameter
    (tag,) = {
        parameter["schema"]["pattern"]
        for operation in operations_of(document).values()
        for parameter in operation["parameters"]
        if parameter["name"] == "If-Match"
    }
    assert all(re.search(tag, text) for text in ("*", '"7"', '"123456"'))
    assert not any(re.search(tag, text) for text in ("", '"0"', "7", '*"7"', '"7" '))


async def test_what_is_asked_is_closed_and_what_is_answered_is_open(document: dict[str, Any]) -> None:
    def parts(names: set[str]) -> set[str]:
        found: set[str] = set()
        while names - found:
            found |= names
            names = {name.rpartition("/")[2] for each in found for name in references(schemas[each])}
        return {name for name in found if "properties" in schemas[name]}

    schemas = document["components"]["schemas"]
    operations = operations_of(document).values()
    asked = parts({name.rpartition("/")[2] for each in operations for name in references(each.get("requestBody", {}))})
    told = {name for each in operations for name in references(each["responses"]) if "/schemas/" in name}
    answered = parts({name.rpartition("/")[2] for name in told})
    assert not asked & answered
    assert {"NewOrder", "NewItem"} < asked
    assert {"OrderDocument", "ProblemDocument"} < answered
    assert [name for name in asked if schemas[name]["additionalProperties"] is not False] == []
    # Some generators take what says nothing of it for closed.
    assert [name for name in answered if schemas[name]["additionalProperties"] is not True] == []


async def test_no_member_has_a_default_for_generated_code_to_send(document: dict[str, Any]) -> None:
    """Java began an order with ``discount_codes: []``, and a change of a promotion with ``skus: []``, which took them away."""
    schemas = document["components"]["schemas"]
    assert [name for name, schema in schemas.items() if any("default" in node for node in nodes(schema))] == []
    for name, schema in schemas.items():
        if schema.get("additionalProperties") is False:
            optional = (
                schema["properties"].keys() - {*schema["required"]} if "required" in schema else schema["properties"]
            )
            for member in optional:
                assert schema["properties"][member].get("type") not in {"array", "object"}, (name, member)
    for member in (
        schemas["NewOrder"]["properties"]["discount_codes"],
        schemas["PromotionChange"]["properties"]["skus"],
    ):
        ((reference,),) = (each.values() for each in member["allOf"])
        assert schemas[reference.rpartition("/")[2]]["type"] == "array"
    assert schemas["NewPercentage"]["properties"]["active"]["description"] == "Left out: true."
    assert "description" not in schemas["PromotionChange"]["properties"]["active"]


async def test_a_list_of_words_stands_in_one_place(document: dict[str, Any]) -> None:
    lists = [tuple(node["enum"]) for node in nodes(document) if isinstance(node.get("enum"), list)]
    assert len(lists) == len(set(lists))
    schemas = document["components"]["schemas"]
    for name, member in (("OrderDocument", "payment_status"), ("PaymentStatusDocument", "payment_status")):
        assert schemas[name]["properties"][member] == {"$ref": "#/components/schemas/OrderPaymentStatus"}
    assert "ISO 4217" in schemas["Currency"]["description"]


async def test_every_parameter_is_described(document: dict[str, Any]) -> None:
    for operation in operations_of(document).values():
        for parameter in operation["parameters"]:
            assert parameter["description"], (operation["operationId"], parameter["name"])


async def test_every_header_that_is_described_is_one_of_some_answer(document: dict[str, Any]) -> None:
    used = {name.rpartition("/")[2] for name in references(document["paths"]) if "/headers/" in name}
    assert {*document["components"]["headers"]} == used


async def test_the_metrics_are_told_in_both_forms(document: dict[str, Any]) -> None:
    described = document["paths"]["/metrics"]["get"]["responses"]["200"]["content"]
    assert described.keys() == {"text/plain", "application/openmetrics-text"}


@pytest.mark.parametrize("path", ["/health/live", "/health/ready"])
async def test_what_is_open_to_all_says_that_it_refuses_a_repeated_header(document: dict[str, Any], path: str) -> None:
    described = document["paths"][path]["get"]["responses"]["400"]["content"]["application/problem+json"]
    assert described["examples"].keys() == {"repeated_header"}


async def test_the_codes_of_problems_are_listed_and_the_list_is_open(document: dict[str, Any]) -> None:
    code = document["components"]["schemas"]["ProblemDocument"]["properties"]["code"]
    assert code["x-extensible-enum"] == sorted(CODES)
    assert "enum" not in code


async def test_ids_of_parts_are_uuids_in_both_directions(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    ours = ("item_id", "shipment_id", "payment_id", "refund_id", "transaction_id")
    for name, schema in schemas.items():
        for field in set(ours) & set(schema.get("properties", {})):
            described = schema["properties"][field]
            assert "uuid" in {each.get("format") for each in nodes(described)}, (name, field)


async def test_no_parameter_stands_in_path_and_query(document: dict[str, Any]) -> None:
    for operation in operations_of(document).values():
        names = [parameter["name"] for parameter in operation["parameters"]]
        assert len(names) == len(set(names)), operation["operationId"]


async def test_numbers_of_queries_are_described_with_their_bounds(document: dict[str, Any]) -> None:
    found = 0
    for operation in operations_of(document).values():
        for parameter in operation["parameters"]:
            schemas = parameter["schema"].get("anyOf", [parameter["schema"]])
            for schema in schemas:
                if schema.get("type") == "integer":
                    assert {"minimum", "maximum"} <= schema.keys(), parameter["name"]
                    found += 1
    assert found >= 8
