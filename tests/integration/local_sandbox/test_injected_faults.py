"""The sandbox misbehaves as it is told to, and what it did is in its books."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest

LOST = (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, TimeoutError)


async def _status(caller: Any, payment_id: str) -> Any:
    status, body = await caller.ask("GET", f"/payment/payments/{payment_id}")
    return body["status"] if status == 200 else status


async def test_a_failing_partner_did_nothing(caller: Any) -> None:
    await caller.put_knobs({"effect": "fail", "operation": "charge", "status": 502, "times": 1})
    assert (await caller.charge("p"))[0] == 502
    assert await _status(caller, "p") == 404
    assert (await caller.charge("p"))[0] == 200


async def test_a_throttling_partner_says_for_how_long(caller: Any, sandbox: Any) -> None:
    await caller.put_knobs({"effect": "throttle", "partner": "user", "retry_after_s": 3})
    async with aiohttp.ClientSession() as session, session.get(f"{sandbox.url}/user/customers/c-1001") as response:
        assert (response.status, response.headers["Retry-After"]) == (429, "3")


@pytest.mark.parametrize("effect", ["do_and_hang", "do_and_drop", "do_and_fail", "garbage"])
async def test_what_was_done_and_not_told_is_found_by_asking_and_by_repeating(caller: Any, effect: str) -> None:
    await caller.put_knobs({"effect": effect, "operation": "charge", "times": 1})
    try:
        status, _ = await caller.charge("p")
        assert effect == "do_and_fail"
        assert status == 503
    except (*LOST, ValueError):
        assert effect != "do_and_fail"
    assert await _status(caller, "p") == "confirmed"
    assert (await caller.charge("p"))[1]["status"] == "confirmed"
    totals = (await caller.ask("GET", "/sandbox/ledger?totals=1"))[1]["totals"]
    assert totals == {"EUR": {"charged": 100, "refunded": 0}}


CHARGE = {
    "payment_id": "p",
    "order_id": "o",
    "customer_id": "c-1001",
    "method": "card",
    "amount": {"amount": 100, "currency": "EUR"},
}
PAGES = [
    ({}, 404, "text/html"),
    ({"status": 502}, 502, "text/html"),
    ({"status": 200}, 200, "text/html"),
    ({"status": 403, "content": "json"}, 403, "application/json"),
    ({"status": 409, "content": "problem"}, 409, "application/problem+json"),
    ({"status": 503, "content": "empty"}, 503, "application/octet-stream"),
    ({"content": "redirect"}, 302, "text/html"),
]


@pytest.mark.parametrize("effect", ["page", "do_and_page"])
@pytest.mark.parametrize(("fields", "status", "content_type"), PAGES)
async def test_a_page_of_something_in_between_says_nothing_of_what_was_done(
    caller: Any, sandbox: Any, effect: str, fields: dict[str, Any], status: int, content_type: str
) -> None:
    await caller.put_knobs({"effect": effect, "operation": "charge", "times": 1} | fields)
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{sandbox.url}/payment/payments", json=CHARGE, allow_redirects=False) as response,
    ):
        assert (response.status, response.content_type) == (status, content_type)
        assert ("Location" in response.headers) == (fields.get("content") == "redirect")
        page = await response.read()
        assert (page == b"") == (fields.get("content") == "empty")
        assert b"payment_id" not in page
    assert await _status(caller, "p") == (404 if effect == "page" else "confirmed")


@pytest.mark.parametrize("effect", ["hang", "drop"])
async def test_what_was_neither_done_nor_told_is_not_in_the_books(caller: Any, effect: str) -> None:
    await caller.put_knobs({"effect": effect, "operation": "charge", "times": 1})
    with pytest.raises(LOST):
        await caller.charge("p")
    assert await _status(caller, "p") == 404


async def test_a_delayed_answer_comes_later_and_holds_nobody_else_up(caller: Any) -> None:
    await caller.put_knobs({"effect": "delay", "order_id": "o", "delay_ms": [300, 400]})
    clock = asyncio.get_running_loop().time
    started = clock()
    slow = asyncio.create_task(caller.charge("p"))
    await caller.ask("GET", "/user/customers/c-1001")
    assert not slow.done()
    assert (await slow)[0] == 200
    assert clock() - started >= 0.3


@pytest.mark.parametrize(
    ("token", "status", "code", "amount"),
    [
        ("tok_declined", "rejected", "card_declined", 100),
        ("tok_insufficient_funds", "rejected", "insufficient_funds", 100),
        ("tok_mismatch", "confirmed", None, 200),
        ("tok_silence", "processing", None, 100),
    ],
)
async def test_a_token_makes_its_own_charge_misbehave(
    caller: Any, token: str, status: str, code: str | None, amount: int
) -> None:
    _, body = await caller.charge("p", token=token)
    assert (body["status"], body.get("code"), body["amount"]["amount"]) == (status, code, amount)


async def test_a_charge_that_timed_out_by_its_token_is_answered_when_repeated(caller: Any) -> None:
    with pytest.raises(TimeoutError):
        await caller.charge("p", token="tok_timeout")
    assert (await caller.charge("p", token="tok_timeout"))[1]["status"] == "confirmed"


async def test_a_refused_commit_means_that_the_stock_is_gone(caller: Any) -> None:
    await caller.hold("o", "sku-last-unit")
    await caller.put_knobs({"effect": "refuse", "operation": "commit_hold", "times": 1})
    status, body = await caller.ask("POST", "/product/holds/o/commit", {"revision": 1})
    assert (status, body["code"]) == (409, "hold_expired")
    assert (await caller.ask("GET", "/product/holds/o"))[1]["state"] == "expired"
    assert (await caller.hold("other", "sku-last-unit"))[0] == 200


async def test_a_refused_hold_is_out_of_stock_for_a_sku_or_an_order(caller: Any) -> None:
    await caller.put_knobs({"effect": "refuse", "operation": "put_hold", "sku": "sku-tea"})
    assert (await caller.hold("o", "sku-tea"))[1]["code"] == "out_of_stock"
    assert (await caller.hold("o", "sku-mug", revision=2))[0] == 200


async def test_a_hold_can_be_made_to_expire(caller: Any) -> None:
    await caller.hold("o", "sku-last-unit")
    assert (await caller.ask("POST", "/sandbox/holds/o/expire"))[1]["state"] == "expired"
    assert (await caller.ask("POST", "/sandbox/holds/o/expire"))[0] == 409


async def test_a_rejected_and_a_slow_refund(caller: Any) -> None:
    await caller.charge("p")
    body = {"payment_id": "p", "amount": {"amount": 10, "currency": "EUR"}}
    await caller.put_knobs(
        {"effect": "decline", "operation": "refund", "times": 1}, {"effect": "silence", "operation": "refund"}
    )
    # The first meets both, and silence comes before the end that it would have come to.
    status, first = await caller.ask("POST", "/payment/refunds", body | {"refund_id": "r1"})
    assert (status, first["status"]) == (202, "processing")
    await caller.put_knobs({"effect": "decline", "operation": "refund"})
    status, second = await caller.ask("POST", "/payment/refunds", body | {"refund_id": "r2"})
    assert (status, second["status"]) == (200, "rejected")


async def test_knobs_are_listed_with_their_hits_added_to_and_removed(caller: Any) -> None:
    await caller.put_knobs({"effect": "fail", "operation": "get_customer", "times": 5})
    await caller.ask("GET", "/user/customers/c-1001")
    status, _ = await caller.ask("POST", "/sandbox/knobs", {"effect": "delay", "delay_ms": 1})
    assert status == 200
    knobs = (await caller.ask("GET", "/sandbox/knobs"))[1]["knobs"]
    assert [(fault["effect"], fault.get("hits"), fault.get("times")) for fault in knobs] == [
        ("fail", 1, 4),
        ("delay", None, None),
    ]
    assert (await caller.ask("DELETE", "/sandbox/knobs"))[1] == {"knobs": []}
    assert (await caller.ask("GET", "/user/customers/c-1001"))[0] == 200


@pytest.mark.parametrize(
    "body", [{"knobs": [{"effect": "explode"}]}, {"knobs": [{"effect": "fail", "operation": "x"}]}, 1]
)
async def test_a_knob_that_makes_no_sense_is_refused(caller: Any, body: Any) -> None:
    status, answer = await caller.ask("PUT", "/sandbox/knobs", body)
    assert (status, answer["code"]) == (422, "invalid_request")


@pytest.mark.parametrize("path", ["/", "/product", "/product/holds/a/b/c", "/user/payments/x", "/sandbox/nothing"])
async def test_what_does_not_exist_is_not_found(caller: Any, path: str) -> None:
    assert (await caller.ask("GET", path))[0] == 404
