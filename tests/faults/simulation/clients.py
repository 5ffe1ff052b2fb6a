"""Shoppers and staff: seeded lives of orders, each wish with a key of its own, asked again until its answer is known.

What they are told is held against what is stored then (L10), against what they were told before (L9), and at the end
against what became of it (L13).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Any
from uuid import UUID

from actors.order.replies import Reply
from actors.rpc.connection import CallFailed
from domain.commands import (
    Actor,
    ActorType,
    AddItem,
    ApplyDiscount,
    Body,
    Cancel,
    ChangeQuantity,
    CreateOrder,
    Deliver,
    Message,
    NewLine,
    Pay,
    Record,
    RemoveDiscount,
    RemoveItem,
    RetryNow,
    Ship,
    SkipToCompensation,
)
from domain.errors import OutcomeUnknown, Refused, Unavailable
from domain.order import CancelReason, Order, Status
from domain.payments import RefundStatus
from domain.shipments import ShipmentLine
from domain.totals_and_statuses import IN_FLIGHT, money_kept, totals
from storage.writes.order_codec import decode_order
from tests.faults.simulation.chaos import NETWORK_MS
from tests.faults.simulation.laws import CLIENTS_KEY
from tests.faults.simulation.network import PeersDouble
from tests.faults.simulation.partners import SKUS

if TYPE_CHECKING:
    from tests.faults.simulation.world import World

CODES = ("TEN", "ONCE", "NOSHIP")
CUSTOMERS = ("c-1001", "c-1002", "c-1003")
NOT_WELCOME = ("c-blocked", "c-no-address", "c-nobody")
NOT_FOR_SALE = ("sku-not-sellable", "sku-nowhere")
PATIENCE_TRIES = 6
# What staff have to see to although the order goes on asking by itself.
FOR_STAFF = frozenset(("refund_rejected", "payment_undecided", "refund_undecided"))


@dataclass(slots=True)
class Wish:
    """One command with its key: what was told of it so far."""

    order_id: str
    message: Message
    reply: Reply | None = None
    is_certainly_undone: bool = True
    refusals: list[str] = field(default_factory=list)


class Clients:
    """All who ask for something. ``orders`` lives are begun in the first ``begin_within_s`` seconds."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._random = world.chaos.random
        self._wishes: list[Wish] = []
        self._number = 0

    async def live(self, orders: int, begin_within_s: float, until_s: float) -> None:
        """Live the lives of so many orders, side by side, and give up at ``until_s``."""
        begins = sorted(self._random.uniform(0, begin_within_s) for _ in range(orders))
        lives = [asyncio.get_running_loop().create_task(self._life(at_s, until_s)) for at_s in begins]
        for life in lives:
            await life

    async def _life(self, at_s: float, until_s: float) -> None:
        loop, random = self._world.loop, self._random
        await asyncio.sleep(at_s)
        order_id = str(UUID(int=random.getrandbits(128), version=4))
        made = await self._want(order_id, self._creation(order_id))
        if made is None:
            return
        if self._world.chaos.strikes(self._world.chaos.chances.prices_fall):
            await self._overpay(order_id, until_s)
        while loop.time() < until_s and random.random() > 0.03:
            await asyncio.sleep(random.expovariate(0.7))
            order = self._read(order_id)
            if order is not None and not order.is_closed:
                await self._act(order)
            elif random.random() < 0.5:
                break
            await self._look_back()

    async def _overpay(self, order_id: str, until_s: float) -> None:
        """Pay a part, have the prices fall below it and cancel while the surplus is on its way back: two refunds of one payment."""
        random = self._random
        order = await self._until(order_id, lambda order: order.status is Status.VALIDATED, until_s)
        total = 0 if order is None else totals(order).total
        if order is None or total < 2:
            return
        await self._want(order_id, Pay("card", "tok", 1 + random.randrange(total - 1)))
        order = await self._until(order_id, lambda order: money_kept(order) > 0, until_s)
        if order is None or order.status is not Status.VALIDATED:
            return
        for line in order.lines:
            self._world.partners.change_price(line.sku, 0)
        await self._want(order_id, AddItem("sku-gift", 1))
        order = await self._until(order_id, lambda order: any(p.refunds for p in order.payments), until_s)
        if order is not None:
            await asyncio.sleep(random.expovariate(5.0))
            await self._want(order_id, Cancel(CancelReason.CUSTOMER))

    async def _until(self, order_id: str, is_so: Callable[[Order], bool], until_s: float) -> Order | None:
        """The order once it is so, or None at the end."""
        while self._world.loop.time() < until_s:
            order = self._read(order_id)
            if order is not None and (is_so(order) or order.is_closed):
                return order if is_so(order) else None
            await asyncio.sleep(0.1)
        return None

    async def _act(self, order: Order) -> None:
        random = self._random
        wish: Body
        match order.status:
            case Status.CREATED | Status.VALIDATED if random.random() < 0.25:
                wish = self._edit(order)
            case Status.VALIDATED:
                part = 1 + random.randrange(2000) if random.random() < 0.2 else None
                wish = Pay("card", "tok", part)
            case Status.PREPARED | Status.SHIPPED:
                wish = self._handle(order)
            case _:
                return
        if random.random() < 0.06:
            wish = Cancel(CancelReason.CUSTOMER) if random.random() < 0.8 else SkipToCompensation("enough")
        await self._want(order.id, wish, expected=order.version if random.random() < 0.2 else None)

    def _creation(self, order_id: str) -> CreateOrder:
        random = self._random
        skus = random.sample(SKUS, random.randint(1, 2))
        codes = (random.choice(CODES),) if random.random() < 0.3 else ()
        if random.random() < 0.03:
            skus.append(random.choice(NOT_FOR_SALE))
        return CreateOrder(
            customer_id=random.choice(NOT_WELCOME if random.random() < 0.03 else CUSTOMERS),
            currency="EUR",
            lines=tuple(NewLine(sku, random.randint(1, 3)) for sku in skus),
            discount_codes=codes,
            order_id=order_id,
        )

    def _edit(self, order: Order) -> Body:
        random = self._random
        line = random.choice(order.lines)
        wishes: tuple[Body, ...] = (
            AddItem(random.choice(SKUS), random.randint(1, 2)),
            ChangeQuantity(line.id, random.randint(1, 4)),
            RemoveItem(line.id),
            ApplyDiscount(random.choice(CODES)),
            RemoveDiscount(random.choice(CODES)),
        )
        return random.choice(wishes)

    def _handle(self, order: Order) -> Body:
        """What staff do with parcels."""
        if any(shipment.status == "shipped" for shipment in order.shipments) and self._random.random() < 0.6:
            return Deliver()
        if order.status is Status.SHIPPED:
            return Deliver()
        left = next(line for line in order.lines if line.shipped < line.quantity)
        parts = (ShipmentLine(left.id, 1),) if self._random.random() < 0.3 else ()
        return Ship(carrier="SEUR", tracking_number="t", lines=parts)

    async def _look_back(self) -> None:
        """Ask for something again that was answered before, or use its key for something else."""
        random = self._random
        if not self._wishes or random.random() > 0.3:
            return
        wish = random.choice(self._wishes[-12:])
        if random.random() < 0.75:
            await self._ask(wish)
        elif wish.reply is not None:
            other = Message(
                id=wish.message.id, body=RetryNow(), actor=wish.message.actor, keyed=True, fingerprint="other"
            )
            try:
                await self._send(wish.order_id, other)
            except Refused as refused:
                if refused.code != "idempotency_key_reused":
                    self._world.laws.breaks("L9", f"{other.id} with other content was refused as {refused.code}")
            except (Unavailable, OutcomeUnknown):
                return
            else:
                self._world.laws.breaks("L9", f"{other.id} was taken with other content")

    async def _want(self, order_id: str, body: Body, *, expected: int | None = None) -> Wish | None:
        """Ask until it is answered, or patience ends."""
        self._number += 1
        message = Message(
            id=f"{CLIENTS_KEY}{self._number}",
            body=body,
            actor=Actor(ActorType.STAFF if isinstance(body, Ship | Deliver) else ActorType.CLIENT, "somebody"),
            keyed=True,
            fingerprint=blake2b(repr(body).encode(), digest_size=8).hexdigest(),
            expected_version=expected,
        )
        wish = Wish(order_id, message)
        self._wishes.append(wish)
        if isinstance(body, Cancel | SkipToCompensation):
            self._world.laws.words.cancel_asked(order_id)
        for _ in range(PATIENCE_TRIES):
            is_answered = await self._ask(wish)
            if is_answered:
                return wish if wish.reply is not None else None
            if self._random.random() < 0.1:
                return None
            await asyncio.sleep(self._random.uniform(0.05, 1.0))
        return None

    async def _ask(self, wish: Wish) -> bool:
        """Ask once; True when the answer is final."""
        laws = self._world.laws
        try:
            reply = await self._send(wish.order_id, wish.message)
        except Refused as refused:
            wish.refusals.append(refused.code)
            if wish.reply is not None:
                laws.breaks("L9", f"{wish.message.id} was done and is refused now: {refused.code}")
            return True
        except Unavailable:
            return False
        except OutcomeUnknown:
            wish.is_certainly_undone = False
            return False
        laws.told(wish.order_id, reply.version)
        if wish.reply is None:
            wish.reply = reply
        elif (reply.document, reply.version, reply.resource_id) != (
            wish.reply.document,
            wish.reply.version,
            wish.reply.resource_id,
        ):
            laws.breaks("L9", f"{wish.message.id} is answered otherwise than before")
        return True

    async def _send(self, order_id: str, message: Message) -> Reply:
        """Through one of the API's processes. Raises what it says, or ``OutcomeUnknown`` when it dies or is silent."""
        world = self._world
        apis = world.living("api")
        if not apis:
            await asyncio.sleep(world.chaos.among(NETWORK_MS))
            raise Unavailable("no_api", "the connection was refused")
        api = self._random.choice(apis)
        answer: asyncio.Future[Reply] = world.loop.create_future()
        world.pending_requests[answer] = api
        api.process.later(world.chaos.among(NETWORK_MS), _serve, world, api, answer, order_id, message)
        told: object = None
        try:
            told = await answer
        except ConnectionError:
            raise OutcomeUnknown("the API died") from None
        except Exception as error:
            told = type(error).__name__
            raise
        finally:
            del world.pending_requests[answer]
            world.note("told", message.id, told.version if isinstance(told, Reply) else told)
        return told

    def _read(self, order_id: str) -> Order | None:
        """Read the order as it is committed."""
        row = self._world.database.tables.rows.get(order_id)
        return None if row is None else decode_order(row.snapshot, row.schema_number)

    # At the end.

    async def look_after(self, order: Order) -> None:
        """Staff see to an order that needs attention, or that waits for them."""
        reasons = {note.reason for note in order.attention}
        if reasons & {"payment_undecided", "refund_undecided"}:
            await self._record(order)
        elif "payment_mismatched" in reasons and order.status in (Status.CREATED, Status.VALIDATED):
            await self._want(order.id, SkipToCompensation("another amount"))
        elif order.attention:
            await self._want(order.id, RetryNow())
        elif order.status in (Status.PREPARED, Status.SHIPPED) and self._random.random() < 0.5:
            await self._want(order.id, self._handle(order))

    async def _record(self, order: Order) -> None:
        """Staff ask PaymentSvc by telephone about what it leaves undecided, and write down what they are told."""
        books, words = self._world.partners, self._world.laws.words
        for payment in order.payments:
            if payment.status in IN_FLIGHT:
                outcome = self._random.choice(("confirmed", "rejected"))
                outcome = books.decide_silently(payment.payment_id, outcome)
                words.recorded(payment.payment_id, outcome)
                await self._want(order.id, _word(payment.payment_id, outcome, payment.amount))
            for refund in payment.refunds:
                if refund.status is RefundStatus.PROCESSING:
                    books.payments.settle_refund(refund.refund_id)
                    words.recorded(refund.refund_id, "refunded")
                    await self._want(order.id, _word(refund.refund_id, "refunded", refund.amount))

    async def knock(self) -> None:
        """Every order still answers: its creation, asked again, is answered as it was."""
        for wish in self._wishes:
            if wish.reply is None or not isinstance(wish.message.body, CreateOrder):
                continue
            for _ in range(PATIENCE_TRIES):
                if await self._ask(wish):
                    break
                await asyncio.sleep(1.0)
            else:
                self._world.laws.breaks("L5", f"{wish.order_id} answers nobody")

    def check_at_rest(self) -> None:
        """Every wish that was answered "certainly not done" each time is not done; what was done was done once."""
        inbox = self._world.database.tables.inbox
        for wish in self._wishes:
            is_done = wish.message.id in inbox.get(wish.order_id, {})
            if wish.reply is not None and not is_done:
                self._world.laws.breaks("L1", f"{wish.message.id} was answered and is not remembered")
            if wish.reply is None and is_done and wish.is_certainly_undone:
                self._world.laws.breaks("L13", f"{wish.message.id} was told as not done, and was done")


def _word(subject: str, outcome: str, amount: int) -> Record:
    return Record(subject=subject, outcome=outcome, amount=amount, reference="by telephone", note="PaymentSvc says so")


def _serve(world: World, api: PeersDouble, answer: asyncio.Future[Reply], order_id: str, message: Message) -> None:
    """In the API's process."""
    task = world.loop.create_task(api.serves.router.ask(order_id, message))
    task.add_done_callback(lambda done: world.later(world.chaos.among(NETWORK_MS), _settle, answer, done))


def _settle(answer: asyncio.Future[Any], done: asyncio.Task[Any]) -> None:
    error = done.exception()
    if answer.done():
        return
    if error is None:
        answer.set_result(done.result())
    elif isinstance(error, CallFailed):
        answer.set_exception(OutcomeUnknown(str(error)))
    else:
        answer.set_exception(error)
