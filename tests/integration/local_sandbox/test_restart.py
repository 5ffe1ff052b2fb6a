"""Money and stock survive the end of the sandbox, at any moment."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.integration.local_sandbox.process import SandboxProcess

LIMIT_S = 20.0


async def test_what_was_answered_is_remembered_after_a_kill(caller: Any, sandbox: SandboxProcess) -> None:
    await caller.hold("o1", "sku-last-unit")
    await caller.hold("o2", "load-sku-5", quantity=3)
    await caller.ask("POST", "/product/holds/o2/commit", {"revision": 1})
    await caller.ask("DELETE", "/product/holds/o3")
    await caller.charge("p1")
    refund = {"refund_id": "r1", "payment_id": "p1", "amount": {"amount": 40, "currency": "EUR"}}
    await caller.ask("POST", "/payment/refunds", refund)
    await caller.ask("PUT", "/sandbox/products/sku-tea", {"prices": {"EUR": 1}})
    await caller.ask("PUT", "/sandbox/customers/c-new", {"name": "New"})
    await caller.hold("o4", "sku-last-unit")
    await caller.ask("GET", "/user/customers/c-nobody")
    await caller.ask("GET", "/product/products?sku=sku-nowhere&currency=EUR")
    before = (await caller.ask("GET", "/sandbox/ledger"))[1]
    tea = (await caller.ask("GET", "/product/products?sku=sku-tea&currency=EUR"))[1]
    assert [(each["operation"], each["subject"]) for each in before["refusals"]] == [
        ("put_hold", "o4"),
        ("get_customer", "c-nobody"),
        ("list_products", "sku-nowhere"),
    ]
    for _ in range(2):
        sandbox.kill()
        sandbox.start()
        after = (await caller.ask("GET", "/sandbox/ledger"))[1]
        for part in ("charges", "refunds", "holds", "refusals", "totals", "stock"):
            assert after[part] == before[part], part
        assert (await caller.ask("GET", "/product/products?sku=sku-tea&currency=EUR"))[1] == tea
    assert (await caller.ask("GET", "/user/customers/c-new"))[1]["name"] == "New"
    assert (await caller.hold("o3", "sku-tea"))[1]["code"] == "hold_released"
    assert (await caller.ask("POST", "/payment/refunds", refund))[0] == 200


async def test_a_payment_under_way_is_settled_by_the_next_start(caller: Any, sandbox: SandboxProcess) -> None:
    await caller.put_knobs({"effect": "processing", "delay_ms": 300})
    assert (await caller.charge("p"))[1]["status"] == "processing"
    sandbox.kill()
    sandbox.start()
    deadline = asyncio.get_running_loop().time() + LIMIT_S
    while (await caller.ask("GET", "/payment/payments/p"))[1]["status"] == "processing":
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.02)


async def test_a_line_that_was_cut_off_is_left_out(caller: Any, sandbox: SandboxProcess, tmp_path: Path) -> None:
    await caller.charge("p1")
    sandbox.kill()
    journal = tmp_path / "sandbox" / "journal.jsonl"
    journal.write_bytes(journal.read_bytes() + b'{"type":"payment","payment_id":"p2"')
    sandbox.start()
    assert (await caller.ask("GET", "/payment/payments/p1"))[0] == 200
    assert (await caller.charge("p2"))[0] == 200


def test_two_sandboxes_do_not_share_a_folder(sandbox: SandboxProcess, tmp_path: Path) -> None:
    assert sandbox.url
    with pytest.raises(RuntimeError, match="ended with 1"):
        SandboxProcess(tmp_path).start()
