from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from actors.order.replies import Reply
from api.access.idempotency import message_id_for, order_id_for
from domain.commands import ActorType, Cancel, CreateOrder, Deliver, NewLine, Ship
from domain.errors import OutcomeUnknown, RefusalKind, Refused, Unavailable
from domain.order import CancelReason, Status
from domain.representation import represent
from domain.shipments import ShipmentLine
from tests.unit.api.harness import ORDER_ID, World, an_order, token

NEW: dict[str, Any] = {"customer_id": "c-1001", "currency": "EUR", "items": [{"sku": "SKU-1", "quantity": 2}]}
ORDER = f"/api/orders/{ORDER_ID}"


def reply_of(**changes: Any) -> Reply:
    settled = changes.pop("settled", True)
    replayed = changes.pop("replayed", False)
    order = an_order(**changes)
    document = msgspec.json.encode(represent(order))
    return Reply(document=document, version=order.version, settled=settled, replayed=replayed)


async def test_a_creation_becomes_a_message_whose_ids_follow_from_caller_and_key(world: World) -> None:
    answered = await world.ask("POST", "/api/orders", json={**NEW, "metadata": {"channel": "web"}}, key="k-1")
    order_id = order_id_for("tester", "k-1")
    assert answered.status == 201
    assert answered.headers["location"] == f"/api/orders/{order_id}"
    assert answered.headers["etag"] == '"1"'
    assert answered.json["status"] == "created"
    asked_for, message = world.router.asked[0]
    assert asked_for == order_id
    assert message.id == message_id_for("tester", "POST", "/api/orders", "k-1")
    assert message.keyed
    assert message.fingerprint
    assert message.actor.type is ActorType.CLIENT
    assert message.body == CreateOrder(
        order_id=order_id,
        customer_id="c-1001",
        currency="EUR",
        lines=(NewLine("SKU-1", 2),),
        metadata={"channel": "web"},
    )


async def test_a_replayed_answer_says_so(world: World) -> None:
    world.router.reply = reply_of(replayed=True)
    answered = await world.ask("POST", "/api/orders", json=NEW, key="k-1")
    assert answered.status == 201
    assert answered.headers["idempotent-replayed"] == "true"


async def test_a_first_answer_does_not_say_that_it_is_replayed(world: World) -> None:
    answered = await world.ask("POST", "/api/orders", json=NEW, key="k-1")
    assert "idempotent-replayed" not in answered.headers


async def test_a_creation_under_a_version_is_refused_until_the_order_is_made(world: World) -> None:
    headers = {"if-match": '"1"'}
    answered = await world.ask("POST", "/api/orders", json=NEW, key="k-1", headers=headers)
    assert (answered.status, answered.code, answered.json["current_version"]) == (412, "version_conflict", 0)
    assert not world.router.asked
    world.queries.keep(an_order(id=order_id_for("tester", "k-1")))
    world.router.reply = reply_of(replayed=True)
    assert (await world.ask("POST", "/api/orders", json=NEW, key="k-1", headers=headers)).status == 201


async def test_a_creation_without_a_key_is_refused_before_its_body_is_looked_at(world: World) -> None:
    answered = await world.ask("POST", "/api/orders", json={"nonsense": 1})
    assert (answered.status, answered.code) == (400, "idempotency_key_missing")
    assert not world.router.asked


async def test_prefer_wait_shows_the_order_as_it_has_become(world: World) -> None:
    order_id = order_id_for("tester", "k-1")
    world.queries.keep(an_order(id=order_id, version=3, status=Status.VALIDATED))
    answered = await world.ask("POST", "/api/orders", json=NEW, key="k-1", headers={"prefer": "wait=5"})
    assert world.router.waited == [(order_id, "validated", 5.0)]
    assert answered.status == 201
    assert answered.headers["preference-applied"] == "wait=5"
    assert answered.headers["etag"] == '"3"'
    assert answered.json["status"] == "validated"


async def test_what_the_wait_told_is_answered_without_reading(world: World) -> None:
    world.router.become = Reply(document=b'{"status":"validated"}', version=4)
    world.queries.away = True
    answered = await world.ask("POST", "/api/orders", json=NEW, key="k-1", headers={"prefer": "wait=5"})
    assert (answered.status, answered.headers["etag"], answered.json) == (201, '"4"', {"status": "validated"})
    assert answered.headers["preference-applied"] == "wait=5"


async def test_a_wait_is_capped(world: World) -> None:
    await world.ask("POST", "/api/orders", json=NEW, key="k-1", headers={"prefer": "wait=4000"})
    assert world.router.waited[0][2] == 30.0


async def test_a_creation_whose_wait_ends_without_a_database_answers_what_was_committed(world: World) -> None:
    world.queries.away = True
    answered = await world.ask("POST", "/api/orders", json=NEW, key="k-1", headers={"prefer": "wait=1"})
    assert answered.status == 201
    assert answered.json["version"] == 1


async def test_a_customers_token_need_not_name_the_customer(world: World) -> None:
    body = {name: value for name, value in NEW.items() if name != "customer_id"}
    answered = await world.ask("POST", "/api/orders", json=body, key="k", token=token(customer_id="c-7"))
    assert answered.status == 201
    assert isinstance(world.router.message.body, CreateOrder)
    assert world.router.message.body.customer_id == "c-7"
    assert world.router.message.customer_scope == "c-7"


async def test_a_customers_token_can_not_order_for_another(world: World) -> None:
    answered = await world.ask("POST", "/api/orders", json=NEW, key="k", token=token(customer_id="c-7"))
    assert (answered.status, answered.code) == (403, "customer_mismatch")
    assert not world.router.asked


async def test_somebody_has_to_be_the_customer(world: World) -> None:
    body = {name: value for name, value in NEW.items() if name != "customer_id"}
    answered = await world.ask("POST", "/api/orders", json=body, key="k")
    assert (answered.status, answered.code) == (422, "customer_required")
    assert answered.json["errors"][0]["pointer"] == "/customer_id"


@pytest.mark.parametrize(
    ("change", "code", "pointer"),
    [
        ({"currency": "XXQ"}, "invalid_currency", "/currency"),
        ({"currency": "eur"}, "invalid_currency", "/currency"),
        ({"currency": 978}, "invalid_currency", "/currency"),
        ({"currency": "KWD"}, "currency_not_supported", "/currency"),
        ({"shipping_method": "drone"}, "shipping_method_not_supported", "/shipping_method"),
        ({"currency": "JPY", "shipping_method": "express"}, "currency_not_supported", "/currency"),
        ({"items": []}, "invalid_request", "/items"),
        ({"items": [{"sku": "S", "quantity": 1}] * 201}, "too_many_lines", "/items"),
        ({"items": [{"sku": "S", "quantity": 0}]}, "invalid_quantity", "/items/0/quantity"),
        ({"items": [{"sku": "S", "quantity": 10_001}]}, "invalid_quantity", "/items/0/quantity"),
        ({"items": [{"sku": "S", "quantity": 1.5}]}, "invalid_quantity", "/items/0/quantity"),
        ({"items": [{"sku": "S", "quantity": "2"}]}, "invalid_quantity", "/items/0/quantity"),
        ({"items": [{"sku": "S", "quantity": True}]}, "invalid_quantity", "/items/0/quantity"),
        ({"items": [{"sku": "", "quantity": 1}]}, "invalid_request", "/items/0/sku"),
        ({"items": [{"sku": "a\x00b", "quantity": 1}]}, "invalid_request", "/items/0/sku"),
        ({"items": [{"sku": "S"}]}, "invalid_request", "/items/0/quantity"),
        ({"items": "S"}, "invalid_request", "/items"),
        ({"metadata": {f"k{n}": "" for n in range(51)}}, "metadata_too_large", "/metadata"),
        ({"metadata": {"k" * 41: ""}}, "metadata_too_large", "/metadata/" + "k" * 41),
        ({"metadata": {"k": "x" * 501}}, "metadata_too_large", "/metadata/k"),
        ({"metadata": {f"k{n}": "x" * 500 for n in range(17)}}, "metadata_too_large", "/metadata"),
        ({"metadata": {"k": 1}}, "invalid_request", "/metadata/k"),
        ({"metadata": {"a/b~c": "\x00"}}, "invalid_request", "/metadata/a~1b~0c"),
        ({"discount_codes": ["no blanks"]}, "invalid_request", "/discount_codes/0"),
        ({"surprise": 1}, "invalid_request", "/surprise"),
        ({"customer_id": 5}, "invalid_request", "/customer_id"),
    ],
)
async def test_each_limit_of_a_creation_has_its_own_error(
    world: World, change: dict[str, Any], code: str, pointer: str
) -> None:
    answered = await world.ask("POST", "/api/orders", json={**NEW, **change}, key="k")
    assert (answered.status, answered.code) == (422, code)
    assert answered.json["errors"][0]["pointer"] == pointer
    assert not world.router.asked


async def test_the_limits_themselves_are_allowed(world: World) -> None:
    body = {
        **NEW,
        "items": [{"sku": "S", "quantity": 10_000}] * 200,
        "metadata": {f"{n:040}": "x" * 120 for n in range(50)},
    }
    answered = await world.ask("POST", "/api/orders", json=body, key="k")
    assert answered.status == 201


async def test_an_order_is_shown_with_its_version(world: World) -> None:
    world.queries.keep(an_order(version=7))
    answered = await world.ask("GET", ORDER)
    assert answered.status == 200
    assert answered.headers["etag"] == '"7"'
    assert answered.json["id"] == ORDER_ID


@pytest.mark.parametrize("tag", ['"7"', 'W/"7"', '"6", "7"', "*"])
async def test_an_order_that_the_client_has_is_not_sent_again(world: World, tag: str) -> None:
    world.queries.keep(an_order(version=7))
    answered = await world.ask("GET", ORDER, headers={"if-none-match": tag})
    assert answered.status == 304
    assert answered.body == b""
    assert answered.headers["etag"] == '"7"'


async def test_an_order_that_the_client_has_in_another_version_is_sent(world: World) -> None:
    world.queries.keep(an_order(version=7))
    assert (await world.ask("GET", ORDER, headers={"if-none-match": '"6"'})).status == 200


async def test_an_order_is_shown_only_in_the_version_that_if_match_names(world: World) -> None:
    world.queries.keep(an_order(version=7))
    for tag, status in (('"7"', 200), ("*", 200), ('"6"', 412), ('W/"7"', 412)):
        assert (await world.ask("GET", ORDER, headers={"if-match": tag})).status == status
    answered = await world.ask("GET", ORDER, headers={"if-match": '"6"', "if-none-match": '"7"'})
    assert (answered.status, answered.code, answered.json["current_version"]) == (412, "version_conflict", 7)


@pytest.mark.parametrize("order_id", [ORDER_ID, "7", "not-a-uuid", "../etc", "é"])
async def test_an_order_that_is_not_there_is_not_found(world: World, order_id: str) -> None:
    answered = await world.ask("GET", f"/api/orders/{order_id.replace('/', '')}")
    assert (answered.status, answered.code) == (404, "order_not_found")


async def test_an_id_in_capitals_names_the_same_order(world: World) -> None:
    world.queries.keep(an_order())
    assert (await world.ask("GET", ORDER.replace(ORDER_ID, ORDER_ID.upper()))).status == 200


async def test_another_customers_order_is_not_found(world: World) -> None:
    world.queries.keep(an_order(customer_id="c-1001"))
    assert (await world.ask("GET", ORDER, token=token(customer_id="c-1001"))).status == 200
    answered = await world.ask("GET", ORDER, token=token(customer_id="c-2"))
    assert (answered.status, answered.code) == (404, "order_not_found")


async def test_a_read_without_a_database_is_told_to_come_again(world: World) -> None:
    world.queries.away = True
    answered = await world.ask("GET", ORDER)
    assert (answered.status, answered.code) == (503, "database_unavailable")
    assert answered.headers["retry-after"] == "1"


@pytest.mark.parametrize(("scope", "reason"), [("orders:write", CancelReason.CUSTOMER), ("admin", CancelReason.STAFF)])
async def test_who_cancels_is_the_reason(world: World, scope: str, reason: CancelReason) -> None:
    answered = await world.ask("DELETE", ORDER, query="reason=too%20late", token=token(scope))
    assert answered.status == 200
    assert world.router.message.body == Cancel(reason, "too late")


async def test_a_cancellation_that_goes_on_is_accepted(world: World) -> None:
    world.router.reply = reply_of(status=Status.CANCELLING, settled=False)
    assert (await world.ask("DELETE", ORDER)).status == 202
    assert (await world.ask("PUT", f"{ORDER}/status", json={"status": "cancelled"})).status == 202


async def test_a_note_has_a_bound(world: World) -> None:
    answered = await world.ask("DELETE", ORDER, query="reason=" + "x" * 501)
    assert (answered.status, answered.code) == (422, "invalid_parameter")
    assert answered.json["errors"][0]["pointer"] == "/reason"
    assert (await world.ask("DELETE", ORDER, query="reason=" + "x" * 500)).status == 200


async def test_a_key_is_optional_on_other_commands_and_a_message_without_one_is_new_each_time(world: World) -> None:
    await world.ask("DELETE", ORDER)
    await world.ask("DELETE", ORDER)
    first, second = (message for _, message in world.router.asked)
    assert first.id != second.id
    assert not first.keyed


async def test_the_query_is_part_of_what_a_key_stands_for(world: World) -> None:
    await world.ask("DELETE", ORDER, key="k", query="reason=a")
    await world.ask("DELETE", ORDER, key="k", query="reason=b")
    first, second = (message for _, message in world.router.asked)
    assert first.id == second.id
    assert first.fingerprint != second.fingerprint


async def test_shipping_becomes_a_command_of_staff(world: World) -> None:
    body = {
        "status": "shipped",
        "carrier": "Correos",
        "tracking_number": "PQ4F6P",
        "tracking_url": "https://example.com/PQ4F6P",
        "lines": [{"item_id": "i-1", "quantity": 2}],
    }
    answered = await world.ask("PUT", f"{ORDER}/status", json=body, token=token("shipments:write"))
    assert answered.status == 200
    assert world.router.message.actor.type is ActorType.STAFF
    assert world.router.message.body == Ship(
        carrier="Correos",
        tracking_number="PQ4F6P",
        tracking_url="https://example.com/PQ4F6P",
        lines=(ShipmentLine("i-1", 2),),
    )


async def test_delivering_names_a_shipment_or_none(world: World) -> None:
    await world.ask("PUT", f"{ORDER}/status", json={"status": "delivered", "shipment_id": "s-1"})
    await world.ask("PUT", f"{ORDER}/status", json={"status": "delivered"})
    assert [message.body for _, message in world.router.asked] == [Deliver("s-1"), Deliver(None)]


@pytest.mark.parametrize(
    ("body", "scope"),
    [
        ({"status": "cancelled"}, "shipments:write"),
        ({"status": "shipped", "carrier": "C", "tracking_number": "T"}, "orders:write"),
        ({"status": "delivered"}, "orders:write"),
    ],
)
async def test_each_status_wants_its_own_scope(world: World, body: dict[str, Any], scope: str) -> None:
    answered = await world.ask("PUT", f"{ORDER}/status", json=body, token=token(scope))
    assert (answered.status, answered.code) == (403, "insufficient_scope")
    assert not world.router.asked


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"status": "paid"}, "/status"),
        ({}, "/status"),
        ({"status": "shipped", "carrier": "C"}, "/tracking_number"),
        (
            {"status": "shipped", "carrier": "C", "tracking_number": "T", "tracking_url": "javascript:x"},
            "/tracking_url",
        ),
        ({"status": "shipped", "carrier": "C", "tracking_number": "T", "lines": []}, "/lines"),
        ({"status": "delivered", "carrier": "C"}, "/carrier"),
        ([], ""),
    ],
)
async def test_a_status_that_can_not_be_set_is_refused(world: World, body: Any, pointer: str) -> None:
    answered = await world.ask("PUT", f"{ORDER}/status", json=body)
    assert (answered.status, answered.code) == (422, "invalid_request")
    assert answered.json["errors"][0]["pointer"] == pointer


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ('"7"', 7),
        ("*", None),
        ('W/"7"', -1),
        ('"abc"', -1),
        ('"007"', -1),
        ('"9999999999999999999"', -1),
        ('"7", "7"', 7),
        (' , W/"6","x,y",\t"7" ,, ', 7),
        ('W/"6", "abc"', -1),
    ],
)
async def test_if_match_becomes_the_expected_version(world: World, header: str, expected: int | None) -> None:
    await world.ask("DELETE", ORDER, headers={"if-match": header})
    assert world.router.message.expected_version == expected


@pytest.mark.parametrize(("version", "status"), [(6, 200), (7, 200), (8, 412)])
async def test_an_order_is_shown_when_any_of_several_tags_is_its_own(world: World, version: int, status: int) -> None:
    world.queries.keep(an_order(version=version))
    assert (await world.ask("GET", ORDER, headers={"if-match": '"6", "7"'})).status == status


@pytest.mark.parametrize("header", ["7", '"7', "", ",", '"6" "7"', '"6", 7', '"6", *', '"6", "7"'])
async def test_an_if_match_that_can_not_be_understood_is_refused(world: World, header: str) -> None:
    answered = await world.ask("DELETE", ORDER, headers={"if-match": header})
    assert (answered.status, answered.code) == (400, "invalid_if_match")
    assert not world.router.asked


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (Refused(RefusalKind.INVALID, "x_invalid", "d"), 400, "x_invalid"),
        (Refused(RefusalKind.FORBIDDEN, "x_forbidden", "d"), 403, "x_forbidden"),
        (Refused(RefusalKind.NOT_FOUND, "order_not_found", "d"), 404, "order_not_found"),
        (Refused(RefusalKind.CONFLICT, "illegal_transition", "d"), 409, "illegal_transition"),
        (Refused(RefusalKind.STALE, "version_conflict", "d"), 412, "version_conflict"),
        (Refused(RefusalKind.TOO_LARGE, "x_large", "d"), 413, "x_large"),
        (Refused(RefusalKind.UNPROCESSABLE, "discount_exhausted", "d"), 422, "discount_exhausted"),
        (Unavailable("order_busy", "d", overloaded=True), 429, "order_busy"),
        (Unavailable("overloaded", "d", overloaded=True), 503, "overloaded"),
        (Unavailable("no_shard", "d", retry_after_s=2.2), 503, "unavailable"),
        (OutcomeUnknown("d"), 504, "outcome_unknown"),
        (RuntimeError("a bug"), 500, "internal_error"),
    ],
)
async def test_each_sort_of_no_has_its_status(world: World, error: Exception, status: int, code: str) -> None:
    world.router.error = error
    answered = await world.ask("DELETE", ORDER)
    assert (answered.status, answered.code) == (status, code)
    assert answered.json["instance"] == ORDER
    assert answered.json["type"] == f"urn:ordersvc:problem:{code}"
    assert ("retry-after" in answered.headers) == (status in (429, 503))


async def test_a_bug_is_not_told_to_the_caller(world: World) -> None:
    world.router.error = RuntimeError("secret of the house")
    assert b"secret" not in (await world.ask("DELETE", ORDER)).body


async def test_how_long_to_wait_is_rounded_up(world: World) -> None:
    world.router.error = Unavailable("no_shard", "d", retry_after_s=2.2)
    assert (await world.ask("DELETE", ORDER)).headers["retry-after"] == "3"


async def test_a_conflict_tells_what_is_allowed(world: World) -> None:
    world.router.error = Refused(RefusalKind.CONFLICT, "illegal_transition", "d", allowed=("cancel",))
    assert (await world.ask("DELETE", ORDER)).json["allowed"] == ["cancel"]


async def test_a_stale_version_tells_the_current_one(world: World) -> None:
    world.router.error = Refused(RefusalKind.STALE, "version_conflict", "d", current_version=9)
    answered = await world.ask("DELETE", ORDER)
    assert answered.json["current_version"] == 9
    assert "allowed" not in answered.json


async def test_the_trace_of_the_caller_goes_on(world: World) -> None:
    parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    world.router.error = Refused(RefusalKind.CONFLICT, "illegal_transition", "d")
    answered = await world.ask("DELETE", ORDER, headers={"traceparent": parent})
    assert answered.json["trace_id"] == "4bf92f3577b34da6a3ce929d0e0e4736"
    told = world.router.message.traceparent or ""
    assert told.startswith("00-4bf92f3577b34da6a3ce929d0e0e4736-")
    assert told != parent


async def test_every_order_answer_carries_a_version_and_basic_security_headers(world: World) -> None:
    world.queries.keep(replace(an_order(), version=2))
    answered = await world.ask("GET", ORDER)
    assert answered.headers["x-content-type-options"] == "nosniff"
    assert answered.headers["cache-control"] == "private, no-cache"
    assert answered.headers["content-type"] == "application/json"
