"""The orders of one owner: which of them are in memory, how they get there, and what follows once a decision is committed.

A group hosts its order actors. It loads them in batches, hands their decisions to the committer, and after the commit, and only
then, lets replies, events and calls leave. It gives up everything the moment somebody else owns its orders.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import structlog

from actors.catalogue import Catalogue
from actors.clock import DatabaseClock
from actors.committer import CommitPolicy, Committer, Proposal, Store, Verdict
from actors.deadlines import Deadlines
from actors.failpoints import Failpoint
from actors.mailbox import Letter
from actors.numbers import OrderNumbers
from actors.order import OrderActor
from actors.replies import Reply, decode_reply, encode_reply, make_reply
from actors.watches import Watches
from actors.wire import Moved
from domain import document
from domain.calls import Call, CustomerFetched, ProductsFetched
from domain.commands import Actor, ActorType, ApplyDiscount, CallAnswered, CreateOrder, Message, Wake
from domain.errors import OutcomeUnknown, RefusalKind, Refused, Unavailable
from domain.events import Event
from domain.order import Order
from domain.promotions import Promotion
from messaging.envelope import encode_event, encode_notice
from messaging.publisher import Outbound
from sagas.decision import Answer, Decision, Rules
from sagas.stages import deadline, decide, resume
from storage.errors import CommitUnknown, StorageUnavailable
from storage.snapshots import Commit, Loaded, StoredEvent

log = structlog.get_logger()

REFUSALS_OF_CLAIMS = {
    "discount_exhausted": "the promotion has no uses left",
    "discount_not_found": "there is no such promotion",
    "discount_not_active": "the promotion can't be used now",
}


class Publisher(Protocol):
    """The part of ``messaging.publisher.Publisher`` that a group needs."""

    def offer(self, order_id: str, events: Sequence[Outbound]) -> None: ...
    def forget(self, order_ids: Iterable[str]) -> None: ...


class PartnerCalls(Protocol):
    """Where calls go; ``answered`` says that one needs no repeating any more."""

    def send(self, calls: Iterable[Call]) -> None: ...
    def answered(self, order_id: str, key: str) -> None: ...


class GroupStore(Store, Protocol):
    """What a group needs of storage besides committing."""

    async def reply(self, order_id: str, message_id: str) -> bytes | None: ...
    async def promotions(self, codes: tuple[str, ...]) -> tuple[Promotion, ...]: ...
    async def set_aside(self, order_id: str, reason: str) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupLimits:
    """Bounds, unit last."""

    mailbox_max_messages: int = 64
    queue_max_messages: int = 8192
    load_batch_max_orders: int = 256
    resident_max_orders: int = 200_000
    idle_s: float = 300.0
    passivate_batch_max_orders: int = 5000
    set_aside_retry_s: float = 30.0
    stale_retries_max: int = 3


@dataclass(slots=True, kw_only=True)
class Surroundings:
    """What a shard's groups share."""

    shard: str
    store: GroupStore
    publisher: Publisher
    calls: PartnerCalls
    clock: DatabaseClock
    catalogue: Catalogue
    numbers: OrderNumbers
    watches: Watches
    rules: Rules
    limits: GroupLimits
    commit_policy: CommitPolicy
    failpoint: Failpoint
    monotonic: Callable[[], float]
    on_committed: Callable[[str, Order], None] | None = None


class Group:
    """The actors of one group of orders, under one epoch. It is the ``Host`` of its order actors."""

    def __init__(self, name: str, epoch: int, around: Surroundings, on_replaced: Callable[[Group], None]) -> None:
        self.name = name
        self.dedicated_order_id = name.removeprefix("order-") if name.startswith("order-") else None
        self.deadlines = Deadlines(around.clock.now, self.ring)
        self.is_replaced = False
        self._around = around
        self._on_replaced = on_replaced
        self._actors: OrderedDict[str, OrderActor] = OrderedDict()
        self._loading: dict[str, list[Letter]] = {}
        self._loading_letters = 0
        self._loader: asyncio.Task[None] | None = None
        self._handing_over: dict[str, list[Letter]] = {}
        self._set_aside: dict[str, tuple[float, str]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._stale: dict[str, int] = {}
        self.committer = Committer(
            group=name,
            epoch=epoch,
            store=around.store,
            policy=around.commit_policy,
            on_replaced=self._be_replaced,
            failpoint=around.failpoint,
        )

    # Letters come in.

    def accept(self, letter: Letter) -> None:
        """Let a message enter by the order's door. Whatever happens, the letter's sender is told."""
        if self.is_replaced:
            letter.tell(Moved(""))
            return
        codes = _codes(letter.message)
        if codes:
            self._spawn(self._prepare(letter, codes))
        else:
            self._deliver(letter)

    def wake(self, order_id: str) -> None:
        """Deliver a ``Wake`` from the timer; nobody waits for the reply."""
        message = Message(id=f"wake:{order_id}", body=Wake(), actor=Actor(ActorType.TIMER, "deadline"))
        self.accept(Letter(order_id, message, asyncio.get_running_loop().create_future()))

    def ring(self, order_id: str) -> None:
        """A deadline has come: wake the order, unless its actor knows better."""
        actor = self._actors.get(order_id)
        if actor is not None and actor.order is not None:
            due = deadline(actor.order)
            if due is None or due > self._around.clock.now():
                return
        self.wake(order_id)

    def _deliver(self, letter: Letter) -> None:
        order_id = letter.order_id
        actor = self._actors.get(order_id)
        if actor is not None:
            self._actors.move_to_end(order_id)
            self._hand_in(actor, letter)
        elif (waiting := self._handing_over.get(order_id)) is not None:
            waiting.append(letter)
        elif (aside := self._set_aside.get(order_id)) is not None and aside[0] > self._around.monotonic():
            letter.tell(Unavailable("order_set_aside", aside[1], retry_after_s=self._around.limits.set_aside_retry_s))
        elif self._loading_letters >= self._around.limits.queue_max_messages:
            letter.tell(
                Unavailable("overloaded", f"{self._loading_letters} messages wait for their orders", overloaded=True)
            )
        else:
            self._loading.setdefault(order_id, []).append(letter)
            self._loading_letters += 1
            if self._loader is None:
                self._loader = asyncio.get_running_loop().create_task(self._load(), name=f"load-{self.name}")

    def _hand_in(self, actor: OrderActor, letter: Letter) -> None:
        actor.last_used_s = self._around.monotonic()
        try:
            actor.receive(letter)
        except Unavailable as full:
            letter.tell(full)
        self._retire(actor)

    async def _prepare(self, letter: Letter, codes: tuple[str, ...]) -> None:
        try:
            promotions = await self._around.store.promotions(codes)
        except (StorageUnavailable, CommitUnknown) as error:
            letter.tell(Unavailable("database_unavailable", str(error)))
            return
        message = letter.message
        letter.message = replace(message, known=replace(message.known, promotions=promotions))
        self._deliver(letter)

    # Orders come into memory.

    async def _load(self) -> None:
        try:
            while self._loading and not self.is_replaced:
                ids = list(self._loading)[: self._around.limits.load_batch_max_orders]
                try:
                    loaded = await self._around.store.load(ids)
                except (StorageUnavailable, CommitUnknown) as error:
                    not_now = Unavailable("database_unavailable", str(error))
                    for order_id in ids:
                        for letter in self._stop_loading(order_id):
                            letter.tell(not_now)
                    continue
                for order_id in ids:
                    self._arrive(order_id, loaded.get(order_id), self._stop_loading(order_id))
        finally:
            self._loader = None

    def _stop_loading(self, order_id: str) -> list[Letter]:
        letters = self._loading.pop(order_id, [])
        self._loading_letters -= len(letters)
        return letters

    def _arrive(self, order_id: str, loaded: Loaded | None, letters: list[Letter]) -> None:
        if self.is_replaced or (
            loaded is not None and loaded.dedicated_group != self._dedicated_name(order_id, loaded)
        ):
            moved = Moved((loaded.dedicated_group if loaded is not None else None) or "")
            for letter in letters:
                letter.tell(moved)
            return
        if loaded is not None and loaded.undecodable is not None:
            self._put_aside(order_id, f"its snapshot can't be read: {loaded.undecodable}", letters)
            return
        order = loaded.order if loaded is not None else None
        keys = dict(loaded.keys) if loaded is not None else {}
        actor = OrderActor(order_id, order, keys, self, mailbox_max_messages=self._around.limits.mailbox_max_messages)
        self._actors[order_id] = actor
        if loaded is not None and order is not None:
            # What the publisher remembers may be from an earlier ownership: the database knows what is still to be said.
            self._around.publisher.forget([order_id])
            if loaded.unpublished:
                self._around.publisher.offer(order_id, [_outbound(e) for e in loaded.unpublished])
            self._resume(actor, order)
        for letter in letters:
            self._hand_in(actor, letter)
        self._retire(actor)

    def _dedicated_name(self, order_id: str, loaded: Loaded) -> str | None:
        """What the row must say for this group to own the order."""
        return self.name if self.dedicated_order_id == order_id and loaded.order is not None else None

    def _resume(self, actor: OrderActor, order: Order) -> None:
        """Make the calls again whose answers went to a process that is no more; their ids make repeats harmless."""
        again = resume(order, self._around.clock.now(), self._around.rules)
        if again:
            self.committer.add(Proposal(None, lambda verdict, _: self._call(again) if _ok(verdict) else None))
        self.deadlines.expect(actor.order_id, deadline(order))

    def _put_aside(self, order_id: str, reason: str, letters: list[Letter]) -> None:
        log.error("order_set_aside", order_id=order_id, reason=reason)
        limits = self._around.limits
        self._set_aside[order_id] = (self._around.monotonic() + limits.set_aside_retry_s, reason)
        while len(self._set_aside) > limits.queue_max_messages:
            self._set_aside.pop(next(iter(self._set_aside)))
        not_now = Unavailable("order_set_aside", reason, retry_after_s=limits.set_aside_retry_s)
        for letter in letters:
            letter.tell(not_now)
        self._spawn(self._mark_aside(order_id, reason))

    async def _mark_aside(self, order_id: str, reason: str) -> None:
        try:
            await self._around.store.set_aside(order_id, reason)
        except (StorageUnavailable, CommitUnknown) as error:
            log.warning("set_aside_not_marked", order_id=order_id, error=str(error))

    # The host of the order actors.

    def decide(self, order: Order | None, message: Message) -> Decision:
        """Run the rules with what this shard knows. Raises ``Refused``."""
        around = self._around
        if isinstance(message.body, CallAnswered):
            self._learn(message.body)
        known = around.catalogue.known(order, message, message.known.promotions, around.numbers.next)
        decision = decide(order, replace(message, known=known), around.clock.now(), around.rules)
        if decision.order is not None and decision.order.number and (order is None or order.number is None):
            around.numbers.use()
        return decision

    def _learn(self, answered: CallAnswered) -> None:
        match answered.outcome:
            case ProductsFetched(products):
                self._around.catalogue.learn(products=products)
            case CustomerFetched(customer):
                self._around.catalogue.learn(customer=customer)

    def propose(self, actor: OrderActor, letter: Letter, decision: Decision) -> None:
        """Commit a decision with the next flush."""
        order = decision.order
        if order is None:
            raise AssertionError("a decision without effect is confirmed, not proposed")
        message = letter.message
        reply = _reply(message, order, decision.answer)
        totals = document.totals(order)
        commit = Commit(
            order=order,
            base_version=0 if actor.order is None else actor.order.version,
            deadline=deadline(order),
            payment_status=document.payment_status(order),
            fulfillment_status=document.fulfillment_status(order),
            total=totals.total,
            paid=totals.paid,
            refunded=totals.refunded,
            events=tuple(_stored(order.id, event) for event in decision.events),
            ledger=decision.ledger,
            message_id=message.id if message.keyed else None,
            fingerprint=message.fingerprint,
            reply=encode_reply(reply) if message.keyed else None,
            claims=tuple((claim.code, claim.customer_id) for claim in decision.claims),
            releases=decision.releases,
        )

        def settle(verdict: Verdict, reason: str) -> None:
            if verdict is Verdict.COMMITTED:
                self._follow(actor, letter, decision.calls, reply, commit)
            else:
                self._undo(actor, letter, verdict, reason)

        self.committer.add(Proposal(commit, settle))

    def confirm(self, letter: Letter, told: Refused | tuple[Order, Answer]) -> None:
        """Tell the sender what changes nothing, once the next flush has shown that the order is still ours."""
        if isinstance(letter.message.body, CallAnswered):
            self._around.calls.answered(letter.order_id, letter.message.body.key)
        self._tell_if_ours(letter, told if isinstance(told, Refused) else _reply(letter.message, *told))

    def _tell_if_ours(self, letter: Letter, answer: Reply | Refused) -> None:
        """Tell the sender, once a flush has shown that this shard still owns the order."""

        def settle(verdict: Verdict, reason: str) -> None:
            letter.tell(answer if _ok(verdict) else _not_told(verdict, reason))

        self.committer.add(Proposal(None, settle))

    def replay(self, letter: Letter) -> None:
        """Tell the sender what the message's first delivery was told."""
        self._spawn(self._replay(letter))

    async def _replay(self, letter: Letter) -> None:
        try:
            remembered = await self._around.store.reply(letter.order_id, letter.message.id)
        except (StorageUnavailable, CommitUnknown) as error:
            letter.tell(Unavailable("database_unavailable", str(error)))
            return
        if remembered is None:
            letter.tell(Unavailable("reply_pruned", "the answer of this message is not kept any more"))
            return
        self._tell_if_ours(letter, decode_reply(remembered, replayed=True))

    # After the commit.

    def _follow(self, actor: OrderActor, letter: Letter, calls: tuple[Call, ...], reply: Reply, commit: Commit) -> None:
        """The decision is durable: now, and not before, it may be told, published and acted upon."""
        around = self._around
        order = commit.order
        self._stale.pop(order.id, None)
        if isinstance(letter.message.body, CallAnswered):
            around.calls.answered(order.id, letter.message.body.key)
        if commit.events:
            around.failpoint.hit("before_publish")
            around.publisher.offer(order.id, [_outbound(e) for e in commit.events])
            around.failpoint.hit("after_publish")
        self._call(calls)
        around.failpoint.hit("before_reply")
        letter.tell(reply)
        self.deadlines.expect(order.id, commit.deadline)
        around.watches.moved(order)
        actor.committed()
        self._retire(actor)
        if around.on_committed is not None:
            around.on_committed(self.name, order)

    def _call(self, calls: tuple[Call, ...]) -> None:
        if calls:
            self._around.failpoint.hit("before_call")
            self._around.calls.send(calls)

    def _undo(self, actor: OrderActor, letter: Letter, verdict: Verdict, reason: str) -> None:
        order_id = actor.order_id
        if verdict is Verdict.STALE:
            retries = self._stale.get(order_id, 0) + 1
            self._stale[order_id] = retries
            letters = [letter, *actor.leave()]
            self._forget(actor)
            if retries > self._around.limits.stale_retries_max:
                self._stale.pop(order_id, None)
                self._put_aside(order_id, "what is stored is not what its actor knows", letters)
                return
            log.warning("order_stale", order_id=order_id, retries=retries)
            for again in letters:
                self._deliver(again)
            return
        if verdict is Verdict.POISONED:
            self._put_aside(order_id, f"its commit can't be written: {reason}", [letter, *actor.leave()])
            self._forget(actor)
            return
        letter.tell(_not_told(verdict, reason))
        if verdict is Verdict.MOVED:
            return
        actor.void()
        self._retire(actor)

    # Orders leave memory.

    def _retire(self, actor: OrderActor) -> None:
        """Let go of an actor that nothing is expected of: its order is closed, or there is none."""
        if actor.is_idle and (actor.order is None or actor.order.is_closed):
            self._forget(actor)

    def _forget(self, actor: OrderActor) -> None:
        if self._actors.get(actor.order_id) is actor:
            del self._actors[actor.order_id]

    def passivate(self) -> int:
        """Let idle actors leave memory, those idle longest first; gives how many did."""
        limits = self._around.limits
        too_old_s = self._around.monotonic() - limits.idle_s
        surplus = len(self._actors) - limits.resident_max_orders
        gone = 0
        for actor in list(_first(self._actors, limits.passivate_batch_max_orders)):
            if actor.last_used_s > too_old_s and gone >= surplus:
                break
            if actor.is_idle and not actor.awaits_answer:
                self._forget(actor)
                gone += 1
        return gone

    @property
    def resident(self) -> int:
        """How many order actors are in memory."""
        return len(self._actors)

    @property
    def queued(self) -> int:
        """Messages that wait for their order to be loaded, and proposals that wait for a flush."""
        return self._loading_letters + len(self.committer)

    def find(self, order_id: str) -> Order | None:
        """The committed state of an order in memory, or None."""
        actor = self._actors.get(order_id)
        return None if actor is None else actor.order

    def publish_again(self, events: Mapping[str, Sequence[StoredEvent]]) -> None:
        """Offer events that have stayed unpublished; the publisher knows which of them it has already."""
        for order_id, unpublished in events.items():
            self._around.publisher.offer(order_id, [_outbound(e) for e in unpublished])

    # Handing one order over to a process of its own.

    async def hand_over(self, order_id: str, dedicate: Callable[[], Awaitable[None]]) -> None:
        """Stop an order here, let ``dedicate`` change its owner, and send those who ask meanwhile to the new one."""
        self._handing_over[order_id] = []
        try:
            actor = self._actors.get(order_id)
            if actor is not None:
                self._handing_over[order_id].extend(actor.leave())
                self._forget(actor)
            await self.committer.stop()
            await dedicate()
        finally:
            waiting = self._handing_over.pop(order_id)
            for letter in waiting:
                self._deliver(letter)

    # The end.

    def _be_replaced(self) -> None:
        self.is_replaced = True
        moved = Moved("")
        for actor in self._actors.values():
            for letter in actor.leave():
                letter.tell(moved)
        self._actors.clear()
        for order_id in list(self._loading):
            for letter in self._stop_loading(order_id):
                letter.tell(moved)
        self.deadlines.stop()
        self._on_replaced(self)

    async def stop(self) -> None:
        """Finish what was begun; used when the process is asked to end."""
        self.deadlines.stop()
        await self.committer.stop()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _ok(verdict: Verdict) -> bool:
    return verdict is Verdict.COMMITTED


def _not_told(verdict: Verdict, reason: str) -> Refused | Unavailable | OutcomeUnknown | Moved:
    match verdict:
        case Verdict.MOVED:
            return Moved("")
        case Verdict.REFUSED:
            detail = REFUSALS_OF_CLAIMS.get(reason, "the promotion can't be used")
            return Refused(RefusalKind.UNPROCESSABLE, reason, detail)
        case _:
            return Unavailable("database_unavailable", reason or "the database can't be written to now")


def _reply(message: Message, order: Order, answer: Answer) -> Reply:
    """What the sender is told; only clients and staff read a document."""
    if message.actor.type in (ActorType.CLIENT, ActorType.STAFF):
        return make_reply(order, answer)
    return Reply(document=b"", version=order.version)


def _codes(message: Message) -> tuple[str, ...]:
    match message.body:
        case CreateOrder(discount_codes=codes):
            return codes
        case ApplyDiscount(code):
            return (code,)
        case _:
            return ()


def _stored(order_id: str, event: Event) -> StoredEvent:
    return StoredEvent(
        sequence=event.sequence,
        type=event.type.value,
        version=event.version,
        at=event.at,
        actor_type=event.actor.type.value,
        actor_id=event.actor.id,
        body=encode_event(order_id, event),
        notice=encode_notice(order_id, event),
    )


def _outbound(event: StoredEvent) -> Outbound:
    return Outbound(sequence=event.sequence, routing_key=event.type, body=event.body, notice=event.notice)


def _first(actors: OrderedDict[str, OrderActor], count: int) -> Iterable[OrderActor]:
    for _, actor in zip(range(count), actors.values(), strict=False):
        yield actor
