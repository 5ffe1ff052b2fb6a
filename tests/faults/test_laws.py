"""The laws on evidence that was made by hand: a whole life is found in order, and each thing that is wrong with it is found out.

What a broken service looks like to them is tried in `test_checker.py`; here are the ways of being wrong that are too many for that.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.faults.audit_trigger import Heard
from tests.faults.checker import LAWS, violations
from tests.faults.evidence import Change, Evidence, Ledger, StoredEvent
from tests.faults.history import History, Told, Wish

ORDER, PAYMENT, CUSTOMER = "an-order", "a-payment", "c-1"
BEGAN = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)
LIFE = ("created", "validated", "paid", "confirmed", "prepared", "shipped", "delivered")
TOTAL = 1210
PID = 7
PAID = LIFE.index("paid") + 1
RECEIVED = {"payment_id": PAYMENT}


def body_of(sequence: int, *, notice: bool = False, data: dict[str, Any] | None = None) -> bytes:
    kind = "notice" if notice else "event"
    return json.dumps({"id": f"{kind}-{sequence}", "data": {"total": TOTAL} | (data or {})}).encode()


def at_ms(after_s: float) -> int:
    return int((BEGAN + timedelta(seconds=after_s)).timestamp() * 1000)


def told(action: str, version: int, at_s: float, **changes: Any) -> Told:
    """A request of the customer's that was answered with the order at a version."""
    given: dict[str, Any] = {
        "client": "client",
        "wish": Wish(action, {"sku-1": 1} if action == "create" else {}),
        "method": "GET" if action == "show" else "POST",
        "path": f"/{action}",
        "key": None if action == "show" else f"key-{action}",
        "order_id": ORDER,
        "customer_id": CUSTOMER,
        "asked_s": at_s,
        "told_s": at_s + 0.1,
        "status": 200,
        "order_status": LIFE[version - 1],
        "versions": {ORDER: version},
        "digest": f"{action}-{version}",
    }
    return Told(**(given | changes))


def heard_of(message_id: str, source: str, sequence: int, body: bytes) -> Heard:
    """A message of the order that was heard, and was committed by then."""
    return Heard(
        id=message_id,
        source=source,
        order_id=ORDER,
        sequence=sequence,
        type="PedidoActualizado",
        is_notice=source == "notices",
        body=body,
        redelivered=False,
        was_committed=True,
    )


def a_life() -> Evidence:
    """One order that was bought and delivered, and nothing is wrong with it."""
    writer = "order-shard-0"
    changes = [
        Change(
            order_id=ORDER,
            before=n,
            version=n + 1,
            was=None if n == 0 else LIFE[n - 1],
            status=status,
            at=BEGAN + timedelta(seconds=n),
            writer=writer,
            writes_by=f"{n}:{n}",
            dedicated=None,
            owner=writer,
            owner_process="a-process",
            owner_node="a-node",
            owner_pid=PID,
        )
        for n, status in enumerate(LIFE)
    ]
    events = [
        StoredEvent(
            order_id=ORDER,
            sequence=n,
            version=n,
            type="PagoRecibido" if n == PAID else "PedidoActualizado",
            at=BEGAN + timedelta(seconds=n - 1),
            id=f"event-{n}",
            body=body_of(n, data=RECEIVED if n == PAID else None),
            notice_body=body_of(1, notice=True) if n == 1 else None,
            notice_id="notice-1" if n == 1 else None,
            notice_sequence=1 if n == 1 else None,
        )
        for n in range(1, len(LIFE) + 1)
    ]
    heard = [heard_of(event.id, "orders", event.sequence, event.body) for event in events]
    notice = heard_of("notice-1", "notices", 1, body_of(1, notice=True))
    row = {
        "id": ORDER, "version": len(LIFE), "event_seq": len(LIFE), "status": "delivered", "total": TOTAL, "paid": TOTAL,
        "refunded": 0, "needs_attention": False, "is_open": False, "is_running": False, "deadline": None,
        "customer_id": CUSTOMER, "created_at": BEGAN, "cancel_reason": None, "number": "ORD-1", "set_aside": None,
    }  # fmt: skip
    document: dict[str, Any] = {
        "id": ORDER, "status": "delivered", "currency": "EUR", "cancel_reason": None, "metadata": {"ref": "key-create"},
        "totals": {"total": TOTAL, "paid": TOTAL, "refunded": 0}, "items": [{"sku": "sku-1", "quantity": 1}],
        "payments": [{"payment_id": PAYMENT, "status": "confirmed", "code": None, "refunds": []}],
        "expires_at": BEGAN.isoformat(), "customer": {"id": CUSTOMER},
    }  # fmt: skip
    money = {"amount": TOTAL, "currency": "EUR"}
    return Evidence(
        history=History(
            [
                told("create", 1, 1.0),
                told("pay", 2, 2.0, payments={PAYMENT: ("processing", TOTAL, None)}, versions={}, order_status=None),
                told("ship", 6, 3.0),
                told("deliver", 7, 4.0),
                told("show", 7, 5.0, payments={PAYMENT: ("confirmed", TOTAL, None)}),
            ]
        ),
        heard=[*heard, notice],
        unreadable=[],
        ledger=Ledger(
            charges=[
                {"payment_id": PAYMENT, "order_id": ORDER, "status": "confirmed", "amount": money, "at_ms": at_ms(1.5)}
            ],
            refunds=[],
            holds=[{"order_id": ORDER, "state": "committed", "lines": {"sku-1": 1}}],
            stock={"sku-1": {"available": 0}},
            conflicts=[],
        ),
        orders={ORDER: row},
        documents={ORDER: document},
        events={ORDER: events},
        changes={ORDER: changes},
        processes={change.writes_by: PID for change in changes},
        transactions=[{"order_id": ORDER, "type": "charge", "payment_id": PAYMENT, "refund_id": None, **money}],
        quiet_from=BEGAN,
    )


def test_a_life_without_faults_breaks_no_law() -> None:
    assert violations(a_life()) == []


def no_commit_was_seen(evidence: Evidence) -> None:
    evidence.changes.clear()


def no_event_is_stored(evidence: Evidence) -> None:
    evidence.events.clear()
    evidence.heard.clear()


def an_event_is_of_a_version_that_there_is_not(evidence: Evidence) -> None:
    evidence.events[ORDER][-1] = replace(evidence.events[ORDER][-1], version=8)


def a_status_came_without_an_event(evidence: Evidence) -> None:
    evidence.events[ORDER][2] = replace(evidence.events[ORDER][2], version=2)


def a_notice_says_something_else(evidence: Evidence) -> None:
    evidence.heard[-1].body = b'{"id": "notice-1", "data": {"total": 1}}'


def nobody_looked_whether_events_were_committed(evidence: Evidence) -> None:
    for heard in evidence.heard:
        heard.was_committed = None


def nobody_owned_what_was_written(evidence: Evidence) -> None:
    evidence.changes[ORDER][3] = replace(
        evidence.changes[ORDER][3], owner=None, owner_process=None, owner_node=None, owner_pid=None
    )


def the_owners_namesake_wrote(evidence: Evidence) -> None:
    """The process that had its name before; it was replaced and went on."""
    evidence.processes["3:3"] = PID + 1


def an_answer_took_half_a_minute(evidence: Evidence) -> None:
    evidence.history.told.append(told("show", 7, 6.0, told_s=36.0))


def an_entry_of_the_ledger_is_missing(evidence: Evidence) -> None:
    evidence.transactions.clear()


def a_refund_is_entered_that_was_never_made(evidence: Evidence) -> None:
    evidence.transactions.append({**evidence.transactions[0], "type": "refund", "refund_id": "r", "amount": 5})


def a_version_was_told_that_was_never_committed(evidence: Evidence) -> None:
    """Told of a change that was not written, under the number which another change then got and passed."""
    del evidence.changes[ORDER][5]


def a_repeat_tells_of_what_was_never_committed(evidence: Evidence) -> None:
    evidence.history.told.append(told("ship", 6, 6.0, versions={ORDER: 9}, is_replayed=True))


def a_status_was_told_that_the_version_never_had(evidence: Evidence) -> None:
    evidence.history.told[2] = told("ship", 5, 3.0, order_status="shipped")


def a_cancellation_was_told_and_did_not_happen(evidence: Evidence) -> None:
    evidence.history.told.insert(2, told("cancel", 3, 2.5))


def a_payment_was_told_that_the_order_has_not_got(evidence: Evidence) -> None:
    evidence.history.told[1] = replace(evidence.history.told[1], payments={"another": ("processing", TOTAL, None)})


def a_reading_hides_behind_the_header_of_repeats(evidence: Evidence) -> None:
    evidence.history.told.append(told("show", 3, 6.0, is_replayed=True))


def it_was_cancelled_for_want_of_stock_that_nobody_refused(evidence: Evidence) -> None:
    evidence.documents[ORDER]["cancel_reason"] = "out_of_stock"


def it_was_cancelled_for_a_customer_whom_nobody_refused(evidence: Evidence) -> None:
    evidence.documents[ORDER]["cancel_reason"] = "validation_failed"
    evidence.ledger.refusals.append({"operation": "get_customer", "subject": "c-2", "order_id": None})


def it_was_cancelled_and_nobody_had_asked_for_that(evidence: Evidence) -> None:
    evidence.documents[ORDER]["cancel_reason"] = "customer"


def a_payment_that_was_taken_counts_as_rejected(evidence: Evidence) -> None:
    evidence.documents[ORDER]["payments"][0] |= {"status": "rejected", "code": "http_404"}


def a_payment_counts_as_rejected_that_nobody_rejected(evidence: Evidence) -> None:
    payment = {"payment_id": "p-2", "status": "rejected", "code": "http_403", "refunds": []}
    evidence.documents[ORDER]["payments"].append(payment)


def a_rejection_was_told_of_a_payment_that_was_taken(evidence: Evidence) -> None:
    """It was made good later, so that nothing at rest shows it."""
    first = evidence.events[ORDER][0]
    notice = {"id": "n", "data": {"template": "payment_rejected", "params": {"code": "http_404"}}}
    evidence.events[ORDER][0] = replace(first, notice_body=json.dumps(notice).encode())


def a_payment_that_was_there_was_told_as_never_made(evidence: Evidence) -> None:
    notice = {"id": "n", "data": {"template": "payment_rejected", "params": {"code": "never_made"}}}
    second = evidence.events[ORDER][1]
    at = BEGAN + timedelta(seconds=1.8)
    evidence.events[ORDER][1] = replace(second, at=at, notice_body=json.dumps(notice).encode())


def a_client_was_told_that_it_was_never_made(evidence: Evidence) -> None:
    evidence.history.epoch_s = BEGAN.timestamp()
    evidence.history.told.append(told("show", 7, 9.0, payments={PAYMENT: ("rejected", TOTAL, "never_made")}))


def another_charge_began_before_the_first_was_known(evidence: Evidence) -> None:
    first = evidence.ledger.charges[0] | {"payment_id": "p-2", "status": "processing", "at_ms": at_ms(1.0)}
    evidence.ledger.charges.insert(0, first)


def it_was_edited_while_its_payment_was_open(evidence: Evidence) -> None:
    """The payment was taken when a page answered; what the page said was believed, and the edit let through."""
    edit = replace(evidence.events[ORDER][1], at=BEGAN + timedelta(seconds=1.8))
    evidence.events[ORDER][1] = replace(edit, body=body_of(2, data={"changed": ["items", "totals"]}))
    evidence.events[ORDER][PAID - 1] = replace(evidence.events[ORDER][PAID - 1], at=BEGAN + timedelta(seconds=4))


def a_refund_is_entered_with_another_amount(evidence: Evidence) -> None:
    refund = {"refund_id": "r", "payment_id": PAYMENT, "amount": 4, "currency": "EUR", "status": "refunded"}
    evidence.ledger.refunds.append(refund)
    evidence.transactions.append({**evidence.transactions[0], "type": "refund", "refund_id": "r", "amount": 5})


def a_refund_that_was_made_counts_as_rejected(evidence: Evidence) -> None:
    refund = {"refund_id": "r", "payment_id": PAYMENT, "amount": 4, "currency": "EUR", "status": "refunded"}
    evidence.ledger.refunds.append(refund)
    evidence.transactions.append({**evidence.transactions[0], "type": "refund", "refund_id": "r", "amount": 4})
    evidence.documents[ORDER]["payments"][0]["refunds"] = [{"refund_id": "r", "status": "rejected"}]


@pytest.mark.parametrize(
    ("law", "spoil"),
    [
        ("L6", no_commit_was_seen),
        ("L6", no_event_is_stored),
        ("L6", an_event_is_of_a_version_that_there_is_not),
        ("L6", a_status_came_without_an_event),
        ("L7", a_notice_says_something_else),
        ("L7", nobody_looked_whether_events_were_committed),
        ("L8", nobody_owned_what_was_written),
        ("L8", the_owners_namesake_wrote),
        ("L12", an_answer_took_half_a_minute),
        ("L2", an_entry_of_the_ledger_is_missing),
        ("L2", a_refund_is_entered_that_was_never_made),
        ("L10", a_repeat_tells_of_what_was_never_committed),
        ("L10", a_version_was_told_that_was_never_committed),
        ("L10", a_status_was_told_that_the_version_never_had),
        ("L10", a_cancellation_was_told_and_did_not_happen),
        ("L10", a_payment_was_told_that_the_order_has_not_got),
        ("L10", a_reading_hides_behind_the_header_of_repeats),
        ("L14", it_was_cancelled_for_want_of_stock_that_nobody_refused),
        ("L14", it_was_cancelled_for_a_customer_whom_nobody_refused),
        ("L14", it_was_cancelled_and_nobody_had_asked_for_that),
        ("L14", a_payment_that_was_taken_counts_as_rejected),
        ("L14", a_payment_counts_as_rejected_that_nobody_rejected),
        ("L14", a_rejection_was_told_of_a_payment_that_was_taken),
        ("L14", a_payment_that_was_there_was_told_as_never_made),
        ("L14", a_client_was_told_that_it_was_never_made),
        ("L14", another_charge_began_before_the_first_was_known),
        ("L14", it_was_edited_while_its_payment_was_open),
        ("L14", a_refund_is_entered_with_another_amount),
        ("L14", a_refund_that_was_made_counts_as_rejected),
    ],
)
def test_what_is_wrong_with_it_is_found_by_its_law(law: str, spoil: Callable[[Evidence], None]) -> None:
    evidence = a_life()
    spoil(evidence)
    assert [str(found) for found in LAWS[law](evidence)], f"{law} finds nothing"
