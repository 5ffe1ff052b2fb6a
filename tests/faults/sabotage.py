"""Builds that are broken on purpose, to prove that the checker sees it: each breaks one law, for one customer's orders.

This file is copied beside a copy of the project as ``sitecustomize.py``, so that every process of that copy breaks itself at its
start. The service's own packages never hold any of it. Which customer meets which fault is in ``MUTANTS``; everybody else's orders
are handled as ever, so that what the checker says can be told apart.
"""

from __future__ import annotations

import asyncio
import importlib.abc
import importlib.machinery
import sys
import uuid
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec

# Mutant -> the customer whose orders it spoils, and the law by which it must be found.
MUTANTS: dict[str, tuple[str, str]] = {
    "double_charge": ("load-customer-9001", "L2"),
    "lost_event": ("load-customer-9002", "L7"),
    "event_before_commit": ("load-customer-9003", "L7"),
    "oversold": ("load-customer-9004", "L4"),
    "ghost": ("load-customer-9005", "L1"),
    "version_gap": ("load-customer-9006", "L6"),
    "money_kept": ("load-customer-9007", "L3"),
    "stale_read": ("load-customer-9008", "L10"),
    "early_deadline": ("load-customer-9009", "L11"),
    "refusal_by_a_replaced_shard": ("load-customer-9010", "L8"),
    "doubt_told_as_failure": ("load-customer-9011", "L13"),
    "page_taken_for_a_word": ("load-customer-9012", "L14"),
    "taken_without_token": ("load-customer-9014", "L8"),  # what takes breaks itself: see broken_build.py
}
OVERSOLD_SKU = "load-sku-9004"
EARLY_S = 3.0
STALE_S = 3.0
BEFORE_COMMIT_S = 0.2
BLIND = Path(__file__).with_name("blind")


def customer(mutant: str) -> str:
    """Whose orders a mutant spoils."""
    return MUTANTS[mutant][0]


def spoil_payments(module: Any) -> None:
    """Charge twice, under another id; and take a lost connection for a refusal."""
    charge_once = module.PaymentClient._charge

    async def charge(self: Any, order_id: str, asked: Any) -> Any:
        outcome = await charge_once(self, order_id, asked)
        if asked.customer_id == customer("double_charge"):
            other = str(uuid.uuid5(uuid.NAMESPACE_OID, asked.payment_id))
            await charge_once(self, order_id, msgspec.structs.replace(asked, payment_id=other))
        if asked.customer_id == customer("doubt_told_as_failure") and type(outcome).__name__ == "Unknown":
            from domain.calls import PaymentAnswered  # noqa: PLC0415 - not before the module is being spoilt

            return PaymentAnswered(
                payment_id=asked.payment_id, status="rejected", amount=asked.amount, code="card_declined"
            )
        return outcome

    module.PaymentClient._charge = charge


def spoil_users(module: Any) -> None:
    """Take any 404 for UserSvc's own, whoever answered it."""
    perform_once = module.UserClient.perform

    async def perform(self: Any, order_id: str, request: Any) -> Any:
        outcome = await perform_once(self, order_id, request)
        is_page = type(outcome).__name__ == "Unknown" and outcome.detail.startswith("404 ")
        if is_page and request.customer_id == customer("page_taken_for_a_word"):
            from domain.calls import NotFound  # noqa: PLC0415 - not before the module is being spoilt

            return NotFound()
        return outcome

    module.UserClient.perform = perform


def spoil_publisher(module: Any) -> None:
    """Send an event where nobody is, so that it is confirmed and lost; and remember the publisher for who says things early."""
    whole = module._messages
    theirs = customer("lost_event").encode()

    def messages(event: Any) -> Any:
        for exchange, routing_key, body in whole(event):
            is_lost = routing_key == "PagoRecibido" and theirs in body
            yield ("", "nowhere", body) if is_lost else (exchange, routing_key, body)

    module._messages = messages
    begin = module.Publisher.__init__

    def remember(self: Any, *arguments: Any, **named: Any) -> None:
        begin(self, *arguments, **named)
        module.Publisher.latest = self

    module.Publisher.__init__ = remember


def spoil_store(module: Any) -> None:
    """Say events before they are committed; say that creations are committed which are not."""
    flush_once = module.OrderStore.flush

    async def flush(self: Any, process: str, token: str, commits: Sequence[Any]) -> Any:
        early = [commit for commit in commits if commit.order.customer_id == customer("event_before_commit")]
        if early:
            publishing = sys.modules["messaging.publishing.publisher"]
            for commit in early:
                outbound = [
                    publishing.Outbound(sequence=e.sequence, routing_key=e.type, body=e.body, notice=e.notice)
                    for e in commit.events
                ]
                publishing.Publisher.latest.offer(commit.order.id, outbound)
            await asyncio.sleep(BEFORE_COMMIT_S)
        amiss = [c for c in commits if c.order.customer_id == customer("ghost") and c.base_version == 0]
        done = {ghost.order.id for ghost in amiss}
        result = await flush_once(self, process, token, [commit for commit in commits if commit not in amiss])
        return msgspec.structs.replace(result, committed=result.committed | done)

    module.OrderStore.flush = flush


def spoil_products(module: Any) -> None:
    """Hold one piece where more were ordered."""
    perform_once = module.ProductClient.perform

    async def perform(self: Any, order_id: str, request: Any) -> Any:
        if type(request).__name__ == "Hold":
            lines = [
                msgspec.structs.replace(each, quantity=1) if each.sku == OVERSOLD_SKU else each
                for each in request.lines
            ]
            request = msgspec.structs.replace(request, lines=tuple(lines))
        return await perform_once(self, order_id, request)

    module.ProductClient.perform = perform


def spoil_builder(module: Any) -> None:
    """Leave a version out."""
    begin = module.DecisionBuilder.__init__

    def skip(self: Any, base: Any, *arguments: Any) -> None:
        begin(self, base, *arguments)
        if base is not None and base.customer_id == customer("version_gap") and base.version == 2:
            self.version += 1

    module.DecisionBuilder.__init__ = skip


def spoil_refunds(module: Any) -> None:
    """Keep the money of a cancelled order."""
    refund_all = module.refund_all

    def keep(builder: Any) -> None:
        if builder.order.customer_id != customer("money_kept"):
            refund_all(builder)

    module.refund_all = keep


def spoil_compensation(module: Any) -> None:
    """And call it settled."""
    is_out = module._money_is_out
    module._money_is_out = lambda builder: builder.order.customer_id != customer("money_kept") and is_out(builder)


def spoil_reads(module: Any) -> None:
    """Show what was read some seconds ago."""
    read_once = module.OrderQueries.order
    copies: dict[str, tuple[float, Any]] = {}

    async def read(self: Any, order_id: str) -> Any:
        now_s = asyncio.get_running_loop().time()
        if order_id in copies and now_s - copies[order_id][0] < STALE_S:
            return copies[order_id][1]
        order = await read_once(self, order_id)
        if order is not None and order.customer_id == customer("stale_read"):
            copies[order_id] = now_s, order
        return order

    module.OrderQueries.order = read


def spoil_deadlines(module: Any) -> None:
    """Be woken too early."""
    right = module.deadline

    def early(order: Any) -> Any:
        due = right(order)
        is_theirs = due is not None and order.customer_id == customer("early_deadline")
        return due - timedelta(seconds=EARLY_S) if is_theirs else due

    module.deadline = early


def spoil_rules(module: Any) -> None:
    """And take it for the time."""
    right = module.decide

    def decide(order: Any, message: Any, now: Any, rules: Any) -> Any:
        if (
            order is not None
            and order.customer_id == customer("early_deadline")
            and type(message.body).__name__ == "Wake"
        ):
            now += timedelta(seconds=EARLY_S)
        return right(order, message, now, rules)

    module.decide = decide


def spoil_residents(module: Any) -> None:
    """Refuse without asking whether the order is still ours."""
    careful = module.Residents._reply_if_owned

    def reply(self: Any, envelope: Any, answer: Any) -> None:
        order = self.find(envelope.order_id)
        is_theirs = order is not None and order.customer_id == customer("refusal_by_a_replaced_shard")
        if is_theirs and type(answer).__name__ == "Refused":
            envelope.reply(answer)
        else:
            careful(self, envelope, answer)

    module.Residents._reply_if_owned = reply


def blind_partitions(module: Any) -> None:
    """No fault in itself: a shard whose id is in the file ``BLIND`` does not find out that it was replaced before it writes, and what
    a shard was given it keeps.
    """
    look_once = module.OwnedPartitions.look

    async def look(self: Any) -> None:
        if not BLIND.exists() or self.process not in BLIND.read_text():
            await look_once(self)

    async def keep(self: Any) -> None:
        del self

    module.OwnedPartitions.look = look
    module.OwnedPartitions._give_away = keep


def slow_ownership(module: Any) -> None:
    """No fault in itself: routers look seldom who owns what, so that a shard which was replaced is really asked."""
    begin = module.Ownership.__init__

    def seldom(self: Any, *arguments: Any, **named: Any) -> None:
        begin(self, *arguments, **{**named, "read_every_s": 600.0})

    module.Ownership.__init__ = seldom


SPOILT: dict[str, Callable[[Any], None]] = {
    "partners.payment": spoil_payments,
    "partners.user": spoil_users,
    "messaging.publishing.publisher": spoil_publisher,
    "storage.writes.order_store": spoil_store,
    "partners.product": spoil_products,
    "sagas.decision_builder": spoil_builder,
    "sagas.refunding": spoil_refunds,
    "sagas.compensating": spoil_compensation,
    "storage.reads.order_queries": spoil_reads,
    "sagas.deadline": spoil_deadlines,
    "sagas.decide": spoil_rules,
    "actors.shard.residents": spoil_residents,
    "actors.shard.partitions": blind_partitions,
    "actors.routing.ownership": slow_ownership,
}


class Saboteur(importlib.abc.MetaPathFinder):
    """Spoils a module the moment it has been loaded, before anybody takes names out of it."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The module's own place, with a loader that spoils it."""
        if name not in SPOILT:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def load_and_spoil(module: ModuleType) -> None:
                load(module)
                SPOILT[name](module)

            spec.loader.exec_module = load_and_spoil  # type: ignore[method-assign]
        return spec


if __name__ == "sitecustomize":
    sys.meta_path.insert(0, Saboteur())
