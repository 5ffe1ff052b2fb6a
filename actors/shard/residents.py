"""The orders in a shard's memory, and what follows once a decision about one is committed.

They host the order actors: they hand their decisions to the commit loop, and after the commit, and only then, let replies, events and
calls leave. The orders of a partition leave memory as soon as it is not owned here any more. How orders come into memory is in
``loading.py``, which partitions are owned in ``partitions.py``.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from logging import INFO, WARNING

import structlog
from msgspec.structs import replace

from actors.order.commit_loop import CommitLoop, CommitOutcome, Lease, Proposal
from actors.order.commit_of import commit_of, outbound, reply_to
from actors.order.commit_outcomes import error_for
from actors.order.mailbox import Envelope, PendingReply
from actors.order.messages import NotOwner
from actors.order.order_actor import OrderActor
from actors.order.replies import Reply
from actors.order.waiters import Waiters, reached
from actors.shard.context import ShardContext
from actors.shard.deadlines import Deadlines
from actors.shard.loading import OrderLoading
from actors.shard.message_preparation import MessagePreparation, codes_of
from actors.shard.quarantine import Quarantine
from domain.calls import Call, CustomerFetched, ProductsFetched
from domain.commands import Actor, ActorType, CallAnswered, CreateOrder, Message, RetryNow, Wake
from domain.errors import Refused, Unavailable
from domain.order import Order
from domain.slices import DEDICATED, dedicated_partition, partition_of
from sagas.decide import deadline, decide, resume
from sagas.decision import CommandResult, Decision
from storage.writes.order_store import Commit, Loaded, StoredEvent
from supervised import supervised_once

log = structlog.get_logger()


class Residents:
    """The order actors of a shard. They are the ``Host`` of each."""

    def __init__(self, lease: Lease, context: ShardContext) -> None:
        self.deadlines = Deadlines(context.clock.now, self.fire, horizon_s=context.limits.deadlines_ahead_s)
        self._lease = lease
        self._context = context
        self._waiters = Waiters()
        self._actors: OrderedDict[str, OrderActor] = OrderedDict()
        self._of_partition: dict[str, dict[str, None]] = {}
        self._held: dict[str, list[Envelope]] = {}
        self._stale: dict[str, int] = {}
        limits = context.limits
        self._quarantine = Quarantine(
            context.store.set_aside,
            context.store.take_up_again,
            context.monotonic,
            retry_s=limits.set_aside_retry_s,
            max_orders=limits.queue_max_messages,
        )
        self._preparation = MessagePreparation(context.store, self._quarantine, self._deliver, self._reply_if_owned)
        self._loading = OrderLoading(
            context.store.load,
            self._arrive,
            queue_max_messages=limits.queue_max_messages,
            batch_max_orders=limits.load_batch_max_orders,
        )
        self.commit_loop = CommitLoop(
            lease=lease,
            store=context.store,
            policy=context.commit_policy,
            failpoint=context.failpoint,
            counts=context.counts,
        )

    # Envelopes come in.

    def accept(self, envelope: Envelope) -> None:
        """Take a message for its order. Its sender gets a reply in every case."""
        if not self._lease.owns(envelope.order_id):
            envelope.reply(NotOwner(""))
        elif codes_of(envelope.message):
            supervised_once("read-promotions", self._preparation.read_promotions(envelope), order_id=envelope.order_id)
        elif isinstance(envelope.message.body, RetryNow):
            supervised_once("take-up-again", self._preparation.take_up_again(envelope), order_id=envelope.order_id)
        else:
            self._deliver(envelope)

    def tick(self, order_id: str) -> None:
        """Deliver a ``Wake`` from the timer, whose reply is not awaited."""
        self.accept(Envelope(order_id, _tick(order_id)))

    async def watch(self, order_id: str, until: str) -> Order | NotOwner | None:
        """Give the order when a commit has brought it to ``until`` (``waiters.py``), or say that it is owned elsewhere.

        None, at once, where it is there already, or where it can't be had: that may have been long ago, and another shard may
        own the order by now, so the database is to be asked. None too as soon as the order is set aside.
        """
        if self.find(order_id) is None:
            woken = PendingReply(order_id, _tick(order_id), asyncio.get_running_loop().create_future())
            self.accept(woken)
            outcome = await woken.outcome
            if isinstance(outcome, NotOwner):
                return outcome
        order = self.find(order_id)
        if order is None or reached(order, until):
            return None
        return await self._waiters.until(order_id, until)

    def fire(self, order_id: str) -> None:
        """A deadline has come: wake the order, unless its actor knows better."""
        actor = self._actors.get(order_id)
        if actor is not None and actor.order is not None:
            due = deadline(actor.order)
            if due is None or due > self._context.clock.now():
                return
        self.tick(order_id)

    def _deliver(self, envelope: Envelope) -> None:
        order_id = envelope.order_id
        if not self._lease.owns(order_id):
            envelope.reply(NotOwner(""))
        elif self._held and (waiting := self._held_with(order_id)) is not None:
            if len(waiting) < self._context.limits.queue_max_messages:
                waiting.append(envelope)
            else:
                envelope.reply(
                    Unavailable("order_busy", "the order is moving, and enough wait for it", overloaded=True)
                )
        elif (actor := self._actors.get(order_id)) is not None:
            self._actors.move_to_end(order_id)
            self._hand_in(actor, envelope)
        elif (not_now := self._quarantine.reason(order_id)) is not None:
            envelope.reply(not_now)
        elif self._may_be_new(envelope):
            self._arrive(order_id, None, [envelope])
        else:
            self._loading.wait(envelope)

    def _may_be_new(self, envelope: Envelope) -> bool:
        """A creation is taken at its word and nothing is read: if there is such an order, its commit changes nothing and finds the row
        stale, and then the order is read. What claims promotions is not: it would lock them for nothing.
        """
        return (
            isinstance(envelope.message.body, CreateOrder)
            and not envelope.message.body.discount_codes
            and envelope.order_id not in self._stale
            and envelope.order_id not in self._loading
        )

    def _hand_in(self, actor: OrderActor, envelope: Envelope) -> None:
        actor.last_used_s = self._context.monotonic()
        try:
            actor.receive(envelope)
        except Unavailable as full:
            envelope.reply(full)
        self._retire(actor)

    # Orders come into memory.

    def _arrive(self, order_id: str, loaded: Loaded | None, envelopes: list[Envelope]) -> None:
        """Make the actor of an order that was read, and hand it what has waited for it."""
        partition = dedicated_partition(order_id)
        if partition not in self._lease.mine:
            partition = (loaded.dedicated_group if loaded is not None else None) or partition_of(order_id)
        if partition not in self._lease.mine:
            for envelope in envelopes:
                envelope.reply(NotOwner(""))
            return
        if (waiting := self._held.get(partition)) is not None:
            waiting.extend(envelopes)
            return
        if loaded is not None and loaded.undecodable is not None:
            self._quarantine_order(order_id, f"its snapshot can't be read: {loaded.undecodable}", envelopes)
            return
        order = loaded.order if loaded is not None else None
        keys = dict(loaded.keys) if loaded is not None else {}
        actor = OrderActor(order_id, order, keys, self, mailbox_max_messages=self._context.limits.mailbox_max_messages)
        self._actors[order_id] = actor
        self._of_partition.setdefault(partition, {})[order_id] = None
        if loaded is not None and order is not None:
            # What the publisher remembers may be from an earlier ownership: the database knows what is still to be said.
            self._context.publisher.forget([order_id])
            if loaded.unpublished:
                self._context.publisher.offer(order_id, [outbound(event) for event in loaded.unpublished])
            self._resume(actor, order)
        for envelope in envelopes:
            self._hand_in(actor, envelope)
        self._retire(actor)

    def _resume(self, actor: OrderActor, order: Order) -> None:
        """Make the calls again whose answers went to a process that is no more; their ids make repeats harmless."""
        self._context.calls.committed(order)
        again = tuple(
            replace(call, may_have_happened=True)
            for call in resume(order, self._context.clock.now(), self._context.rules)
        )
        if again:
            send_again = self._context.calls.send_again
            self.commit_loop.add(
                Proposal(
                    order.id,
                    None,
                    lambda commit_outcome, _: send_again(again) if commit_outcome is CommitOutcome.COMMITTED else None,
                )
            )
        self.deadlines.expect(actor.order_id, deadline(order))

    def _quarantine_order(self, order_id: str, why: str, envelopes: Iterable[Envelope]) -> None:
        not_now = self._quarantine.put(order_id, why)
        self._context.counts.set_aside += 1
        self._waiters.set_aside(order_id)
        for envelope in envelopes:
            envelope.reply(not_now)
        supervised_once("mark-set-aside", self._quarantine.mark(order_id, why), order_id=order_id)

    # The host of the order actors.

    def decide(self, order: Order | None, message: Message) -> Decision:
        """Run the rules with what this shard knows. Raises ``Refused``."""
        context = self._context
        if isinstance(message.body, CallAnswered) and not message.lookups.is_outdated:
            message = replace(message, body=self._learn(message.body))
        lookups = context.reference_cache.lookups(order, message, context.order_numbers.next)
        decision = decide(order, replace(message, lookups=lookups), context.clock.now(), context.rules)
        if decision.order is not None and decision.order.number and (order is None or order.number is None):
            context.order_numbers.use()
        return decision

    def _learn(self, answered: CallAnswered) -> CallAnswered:
        """Keep copies of what a partner answered, and give the answer with what events announced since."""
        match answered.outcome:
            case ProductsFetched(products, age_s):
                products = self._context.reference_cache.keep_products(products, age_s)
                return replace(answered, outcome=ProductsFetched(products, age_s))
            case CustomerFetched(customer, age_s):
                customer = self._context.reference_cache.keep_customer(customer, age_s)
                return replace(answered, outcome=CustomerFetched(customer, age_s))
        return answered

    def propose(self, actor: OrderActor, envelope: Envelope, decision: Decision) -> None:
        """Commit a decision with the next flush."""
        commit, reply = commit_of(actor.order, envelope.message, decision)

        def settle(commit_outcome: CommitOutcome, reason: str) -> None:
            if commit_outcome is CommitOutcome.COMMITTED:
                self._after_commit(actor, envelope, decision.calls, reply, commit)
            elif commit_outcome is CommitOutcome.OUTDATED:
                self._decide_again(actor, envelope, commit)
            else:
                self._not_committed(actor, envelope, commit_outcome, reason)

        self.commit_loop.add(Proposal(commit.order.id, commit, settle))

    def confirm(self, envelope: Envelope, outcome: Refused | tuple[Order, CommandResult]) -> None:
        """Reply to a message that changes nothing, once the next flush has shown that the order is still ours."""
        if isinstance(envelope.message.body, CallAnswered) and not isinstance(outcome, Refused):
            self._context.calls.answered(outcome[0], envelope.message.body.key, envelope.message.body.outcome)
        self._reply_if_owned(
            envelope, outcome if isinstance(outcome, Refused) else reply_to(envelope.message, *outcome)
        )

    def _reply_if_owned(self, envelope: Envelope, answer: Reply | Refused) -> None:
        """Reply to the sender, once a flush has shown that this shard still owns the order."""

        def settle(commit_outcome: CommitOutcome, reason: str) -> None:
            envelope.reply(answer if commit_outcome is CommitOutcome.COMMITTED else error_for(commit_outcome, reason))

        self.commit_loop.add(Proposal(envelope.order_id, None, settle))

    def fail(self, actor: OrderActor, envelope: Envelope, error: Exception) -> None:
        """The rules could not cope with a message: nothing changed. Where no other one can be sent, the order is set aside."""
        order_id, message = envelope.order_id, envelope.message
        log.error(
            "message_failed", order_id=order_id, message=message.id, body=type(message.body).__name__, exc_info=error
        )
        why = f"{type(message.body).__name__} can't be handled: {type(error).__name__}"
        if message.actor.reads_answers:
            envelope.reply(Unavailable("order_failed", why))
        else:
            self._quarantine_order(order_id, why, [envelope, *actor.leave()])
            self._forget(actor)

    def replay(self, envelope: Envelope) -> None:
        """Give the sender the reply that the message's first delivery got."""
        supervised_once("replay", self._preparation.replay(envelope), order_id=envelope.order_id)

    # After the commit.

    def _after_commit(
        self, actor: OrderActor, envelope: Envelope, calls: tuple[Call, ...], reply: Reply, commit: Commit
    ) -> None:
        """The decision is durable: now, and not before, it may be replied, published and acted upon."""
        context = self._context
        order = commit.order
        self._stale.pop(order.id, None)
        try:
            if self._actors.get(order.id) is actor:
                context.calls.committed(order)
            if isinstance(envelope.message.body, CallAnswered) and actor.order is not None:
                context.calls.answered(actor.order, envelope.message.body.key, envelope.message.body.outcome)
            if commit.events:
                context.failpoint.hit("before_publish")
                context.publisher.offer(order.id, [outbound(event) for event in commit.events])
                context.failpoint.hit("after_publish")
            self._call(calls)
            context.failpoint.hit("before_reply")
            envelope.reply(reply)
            self.deadlines.expect(order.id, commit.deadline)
            self._waiters.committed(order)
        finally:
            actor.committed()
            self._retire(actor)
        if context.on_committed is not None:
            context.on_committed(order)

    def _call(self, calls: tuple[Call, ...]) -> None:
        if calls:
            self._context.failpoint.hit("before_call")
            self._context.calls.send(calls)

    def _not_committed(self, actor: OrderActor, envelope: Envelope, commit_outcome: CommitOutcome, reason: str) -> None:
        """The decision was not committed, or that is not known: the order is what the database says."""
        match commit_outcome:
            case CommitOutcome.STALE:
                self._reload(actor, envelope)
            case CommitOutcome.POISONED if envelope.message.actor.reads_answers:
                # What its sender wants can't be written; what others want of the order can.
                envelope.reply(Unavailable("order_failed", "the change can't be written"))
                self._take_back(actor)
            case CommitOutcome.POISONED:
                self._quarantine_order(
                    actor.order_id, f"its commit can't be written: {reason}", [envelope, *actor.leave()]
                )
                self._forget(actor)
            case CommitOutcome.NOT_OWNER:
                envelope.reply(error_for(commit_outcome, reason))
            case CommitOutcome.UNKNOWN:
                # A creation is decided on without a look: that it was not written does not say that there is no such order.
                envelope.reply(error_for(commit_outcome, reason, envelope.message.body))
                self._read_again(actor)
            case _:
                envelope.reply(error_for(commit_outcome, reason, envelope.message.body))
                self._take_back(actor)

    def _decide_again(self, actor: OrderActor, envelope: Envelope, commit: Commit) -> None:
        """The order was judged by what is outdated: forget the copies, and decide on the message again with that known."""
        for each in commit.reference_versions:
            self._context.reference_cache.invalidate(each.kind, each.key)
        envelope.message = replace(envelope.message, lookups=replace(envelope.message.lookups, is_outdated=True))
        log.info("order_outdated", order_id=actor.order_id, versions=commit.reference_versions)
        self._take_back(actor)
        self._deliver(envelope)

    def _take_back(self, actor: OrderActor) -> None:
        """The decision will never be durable, and the order is what it was, if there is one."""
        if actor.order is None:
            self._read_again(actor)
        else:
            actor.void()
            self._retire(actor)

    def _read_again(self, actor: OrderActor) -> None:
        """The envelopes that wait for the order find what is stored of it."""
        self._forget(actor)
        for waiting in actor.leave():
            self._deliver(waiting)

    def _reload(self, actor: OrderActor, envelope: Envelope) -> None:
        """What is stored is not what the actor knows: read the order again, a bounded number of times."""
        order_id = actor.order_id
        retries = self._stale.get(order_id, 0) + 1
        envelopes = [envelope, *actor.leave()]
        self._forget(actor)
        self._stale[order_id] = retries
        if retries > self._context.limits.stale_retries_max:
            self._stale.pop(order_id, None)
            self._quarantine_order(order_id, "what is stored is not what its actor knows", envelopes)
            return
        is_repeat = isinstance(envelope.message.body, CreateOrder) and actor.order is None
        log.log(INFO if is_repeat else WARNING, "order_stale", order_id=order_id, retries=retries)
        for again in envelopes:
            self._deliver(again)

    # Orders leave memory.

    def _retire(self, actor: OrderActor) -> None:
        """Let go of an actor that nothing is expected of: its order is closed, or there is none."""
        if actor.is_idle and (actor.order is None or actor.order.is_closed):
            self._forget(actor)

    def _forget(self, actor: OrderActor) -> None:
        if self._actors.get(actor.order_id) is actor:
            del self._actors[actor.order_id]
            self._leave_partition(actor.order_id)
            self._stale.pop(actor.order_id, None)
            self._context.calls.leave((actor.order_id,))
            self._context.publisher.leave((actor.order_id,))

    def passivate(self) -> int:
        """Let idle actors leave memory, those idle longest first; gives how many did."""
        limits = self._context.limits
        too_old_s = self._context.monotonic() - limits.idle_s
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
        return len(self._loading) + len(self.commit_loop)

    def find(self, order_id: str) -> Order | None:
        """The committed state of an order in memory, or None."""
        actor = self._actors.get(order_id)
        return None if actor is None else actor.order

    def publish_again(self, events: Mapping[str, Sequence[StoredEvent]]) -> None:
        """Offer events that have stayed unpublished; the publisher knows which of them it has already."""
        for order_id, unpublished in events.items():
            self._context.publisher.offer(order_id, [outbound(event) for event in unpublished])

    # Partitions come and go.

    def adopt(self, partition: str) -> None:
        """A partition is owned here from now on. An order that has become one of its own may be here already."""
        order_id = partition.removeprefix(DEDICATED)
        if order_id in self._actors:
            self._leave_partition(order_id)
            self._of_partition.setdefault(partition, {})[order_id] = None

    def hold(self, partition: str) -> None:
        """Stop the orders of a partition: what is asked of them waits from now on, what was begun is settled."""
        held = self._held[partition] = []
        for order_id in self._of_partition.get(partition, ()):
            held.extend(self._actors.pop(order_id).leave())

    def go_on(self, partition: str) -> None:
        """Deliver what has waited: to the order, or back to its sender where it is owned elsewhere by now."""
        self._drop(partition)
        for envelope in self._held.pop(partition, ()):
            self._deliver(envelope)

    def release(self, partitions: frozenset[str], to: str) -> None:
        """These partitions are not owned here any more, but by the process ``to``, if that is known: nothing of them stays."""

        def is_lost(order_id: str) -> bool:
            return dedicated_partition(order_id) in partitions or not self._lease.owns(order_id)

        envelopes = self._loading.empty(is_lost)
        for partition in sorted(partitions):
            envelopes += self._drop(partition)
            if held := self._held.get(partition):
                envelopes += held
                held.clear()
        for envelope in envelopes:
            envelope.reply(NotOwner(to))
        self._waiters.not_owner(is_lost, NotOwner(to))

    def _drop(self, partition: str) -> list[Envelope]:
        """Let go of the orders of a partition; gives back what has waited for them."""
        order_ids = self._of_partition.pop(partition, {})
        self._context.calls.forget(order_ids)
        self._context.publisher.leave(order_ids)
        envelopes: list[Envelope] = []
        for order_id in order_ids:
            self._stale.pop(order_id, None)
            actor = self._actors.pop(order_id, None)
            envelopes += actor.leave() if actor is not None else ()
        return envelopes

    def _leave_partition(self, order_id: str) -> None:
        for partition in (partition_of(order_id), dedicated_partition(order_id)):
            order_ids = self._of_partition.get(partition)
            if order_ids is not None:
                order_ids.pop(order_id, None)
                if not order_ids:
                    del self._of_partition[partition]

    def _held_with(self, order_id: str) -> list[Envelope] | None:
        """Where messages to the order wait, while its partition is held."""
        dedicated = dedicated_partition(order_id)
        return self._held.get(dedicated if dedicated in self._lease.mine else partition_of(order_id))

    # The end.

    async def stop(self) -> None:
        """Finish what was begun; used when the process is asked to end."""
        self.deadlines.stop()
        await self.commit_loop.stop()


def _tick(order_id: str) -> Message:
    return Message(id=f"wake:{order_id}", body=Wake(), actor=Actor(ActorType.TIMER, "deadline"))


def _first(actors: OrderedDict[str, OrderActor], count: int) -> Iterable[OrderActor]:
    for _, actor in zip(range(count), actors.values(), strict=False):
        yield actor
