"""Faults put into the service on purpose, each of which the laws must find: a net that catches nothing proves nothing.

Each is a context in which one promise of the service is not kept.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any
from unittest.mock import patch

from msgspec.structs import replace

from actors.order.commit_loop import CommitLoop, CommitOutcome, Proposal
from actors.order.commit_of import commit_of
from actors.order.mailbox import Envelope
from actors.order.messages import decode_message, encode_message
from actors.order.order_actor import OrderActor
from actors.routing.ownership import Ownership
from actors.shard.database_clock import DatabaseClock
from actors.shard.partitions import OwnedPartitions
from actors.shard.partner_calls import PartnerCalls
from actors.shard.residents import Residents
from domain.calls import PARTNER_OF, Call, Charge, Declined, NotFound, Partner, Unknown
from domain.order import Order, Step
from domain.slices import partition_of
from messaging.publishing.publish_queue import Line, Outbound, PublishQueue
from messaging.publishing.publisher import Publisher
from partners import responses
from sagas import charging, paying, steps
from sagas.decision import Decision
from sagas.decision_builder import DecisionBuilder
from storage.errors import StorageUnavailable
from storage.writes.commits import Commit
from supervised import supervised_once
from tests.faults.simulation.database import MemoryStore
from tests.faults.simulation.network import PeersDouble

Mutation = Callable[[], AbstractContextManager[Any]]


@contextmanager
def settles_before_the_flush() -> Iterator[None]:
    """Proposals count as committed before they are: replies, events and calls leave too early."""
    flush = CommitLoop._flush

    async def too_early(self: CommitLoop, batch: list[Proposal]) -> None:
        for proposal in batch:
            if proposal.commit is not None:
                proposal.is_settled = True
                proposal.settle(CommitOutcome.COMMITTED, "")
        await flush(self, batch)

    with patch.object(CommitLoop, "_flush", too_early):
        yield


@contextmanager
def replies_before_the_commit() -> Iterator[None]:
    """The client is told first, and the decision is committed afterwards."""
    propose = Residents.propose

    def too_early(self: Residents, actor: OrderActor, envelope: Envelope, decision: Decision) -> None:
        envelope.reply(commit_of(actor.order, envelope.message, decision)[1])
        propose(self, actor, envelope, decision)

    with patch.object(Residents, "propose", too_early):
        yield


@contextmanager
def drops_an_event() -> Iterator[None]:
    """Every seventh event is marked as published and never sent."""
    offer = Publisher.offer

    def some(self: Publisher, order_id: str, events: Sequence[Outbound]) -> None:
        for event in events:
            if event.sequence % 7 == 3:
                self._note_confirmed(order_id, event.sequence)
        offer(self, order_id, [event for event in events if event.sequence % 7 != 3])

    with patch.object(Publisher, "offer", some):
        yield


@contextmanager
def publishes_without_waiting() -> Iterator[None]:
    """The next event of an order goes out while the one before is not confirmed."""

    def next_at_once(self: PublishQueue) -> tuple[Line, Outbound] | None:
        while self._ready:
            line = self._ready.popleft()
            for event in line.waiting:
                if event.sequence > getattr(self, "sent", {}).get(line.order_id, 0):
                    self.__dict__.setdefault("sent", {})[line.order_id] = event.sequence
                    line.is_under_way = True
                    self._ready.append(line)
                    return line, event
        return None

    with patch.object(PublishQueue, "next", next_at_once):
        yield


@contextmanager
def forgets_unpublished_events() -> Iterator[None]:
    """Whoever loads an order does not publish what its former owner had not published yet."""
    load = MemoryStore.load

    def without(self: MemoryStore, order_ids: Sequence[str]) -> Any:
        return {key: replace(loaded, unpublished=()) for key, loaded in load(self, order_ids).items()}

    with patch.object(MemoryStore, "load", without), patch.object(MemoryStore, "unpublished_orders", lambda *_: []):
        yield


@contextmanager
def checks_no_token() -> Iterator[None]:
    """Any shard may write, whatever became of its lease."""
    with patch.object(MemoryStore, "holds", lambda *_: True):
        yield


@contextmanager
def takes_without_replacing_the_token() -> Iterator[None]:
    """A partition changes hands while the lease of its former owner stands."""

    def take(self: MemoryStore, process: str, former: str | None, partitions: Collection[str]) -> frozenset[str]:
        taken = frozenset(name for name in partitions if self.owner_of.get(name) == former)
        self.owner_of.update(dict.fromkeys(sorted(taken), process))
        return taken

    with patch.object(MemoryStore, "take", take):
        yield


@contextmanager
def takes_what_a_router_asks_for() -> Iterator[None]:
    """A shard that is asked for an order of another's takes that for a proof that the other one is gone."""
    accept = Residents.accept

    def believe(self: Residents, envelope: Envelope) -> None:
        partitions = self._lease
        if isinstance(partitions, OwnedPartitions) and not partitions.owns(envelope.order_id):
            supervised_once("take", _take(partitions, envelope.order_id))
        accept(self, envelope)

    def anywhere(self: Ownership, order_id: str) -> str | None:
        shards = sorted(name for name in set(self._owners.values()) if name is not None)
        return shards[len(order_id) % len(shards)] if shards else None

    with patch.object(Residents, "accept", believe), patch.object(Ownership, "owner_of", anywhere):
        yield


async def _take(partitions: OwnedPartitions, order_id: str) -> None:
    with suppress(StorageUnavailable):
        owners = await partitions._store.owners()
        partition = partition_of(order_id)
        await partitions._store.take(partitions.process, owners[partition], [partition])


@contextmanager
def fences_no_version() -> Iterator[None]:
    """What an order was decided on is not compared with what is stored."""
    write = MemoryStore._write

    def over_whatever_is_there(self: MemoryStore, commit: Commit) -> str:
        row = self.rows.get(commit.order.id)
        if row is not None and commit.base_version:
            self.rows[commit.order.id] = replace(row, version=commit.base_version)
        return write(self, commit)

    with (
        patch.object(MemoryStore, "holds", lambda *_: True),
        patch.object(MemoryStore, "_write", over_whatever_is_there),
    ):
        yield


@contextmanager
def checks_no_reference_version() -> Iterator[None]:
    """A flush takes orders that are judged by products and customers of any version."""
    with patch.object(MemoryStore, "is_outdated", lambda *_: False):
        yield


@contextmanager
def trusts_an_unknown_commit() -> Iterator[None]:
    """A commit whose answer was lost counts as done, without a look."""

    async def believe(self: CommitLoop, batch: list[Proposal]) -> list[Proposal]:
        for proposal in batch:
            proposal.is_settled = True
            proposal.settle(CommitOutcome.COMMITTED, "")
        return []

    with patch.object(CommitLoop, "_resolve", believe):
        yield


@contextmanager
def gives_an_unknown_commit_up() -> Iterator[None]:
    """A commit whose answer was lost counts as not done, without a look."""

    async def disbelieve(self: CommitLoop, batch: list[Proposal]) -> list[Proposal]:
        for proposal in batch:
            proposal.is_settled = True
            proposal.settle(CommitOutcome.UNAVAILABLE, "the connection was lost")
        return []

    with patch.object(CommitLoop, "_resolve", disbelieve):
        yield


@contextmanager
def rings_early() -> Iterator[None]:
    """The clock of a shard runs five seconds ahead of the database's."""
    now = DatabaseClock.now

    def ahead(self: DatabaseClock) -> datetime:
        return now(self) + timedelta(seconds=5)

    with patch.object(DatabaseClock, "now", ahead):
        yield


@contextmanager
def rings_never() -> Iterator[None]:
    """Deadlines are not read from the database."""
    with patch.object(MemoryStore, "due", lambda *_: []):
        yield


@contextmanager
def remembers_no_message() -> Iterator[None]:
    """A message that comes again is handled again."""
    handle = OrderActor._handle

    def anew(self: OrderActor, envelope: Envelope) -> None:
        envelope.message = replace(envelope.message, keyed=False)
        handle(self, envelope)

    with patch.object(OrderActor, "_handle", anew):
        yield


@contextmanager
def says_no_too_surely() -> Iterator[None]:
    """The router takes "not now" for "certainly not done", whoever was asked before."""
    with patch("actors.routing.router._certain_outcome", lambda told, _: told):
        yield


@contextmanager
def asks_again_under_another_id() -> Iterator[None]:
    """A message that may have run already goes to the next owner under another id."""
    send = PeersDouble.send
    sent: dict[int, bytes] = {}

    def anew(self: PeersDouble, name: str, method: str, *arguments: Any) -> Any:
        if method == "deliver":
            (envelope,) = arguments
            if id(envelope) in sent:
                order_id, message = decode_message(envelope)
                envelope = encode_message(order_id, replace(message, id=f"{message.id}-again"))
            sent[id(envelope)] = envelope
            arguments = (envelope,)
        return send(self, name, method, *arguments)

    with patch.object(PeersDouble, "send", anew):
        yield


@contextmanager
def believes_the_table_for_ever() -> Iterator[None]:
    """A router reads who owns what once, and asks those for ever."""
    read = Ownership._read

    async def once(self: Ownership) -> None:
        if not self._owners:
            await read(self)
        self._reading = None

    with patch.object(Ownership, "_read", once):
        yield


@contextmanager
def takes_a_timeout_for_a_no() -> Iterator[None]:
    """A charge without an answer counts as rejected."""

    def reject(builder: DecisionBuilder, step: Step, outcome: object) -> None:
        payment = builder.payment(step.subject)
        if payment is not None:
            paying.rejected(builder, payment, "timeout")

    with patch.object(charging, "charge_failed", reject), patch.object(charging, "_still_processing", lambda *_: None):
        yield


@contextmanager
def charges_anew() -> Iterator[None]:
    """A charge whose outcome is unknown is made again under another id."""
    call_of = steps.call_of

    def under_another_id(order: Order, step: Step) -> Any:
        call = call_of(order, step)
        if isinstance(call.request, Charge) and step.attempts > 1:
            return replace(call, request=replace(call.request, payment_id=f"{call.request.payment_id[:-1]}f"))
        return call

    with patch.object(steps, "call_of", under_another_id):
        yield


@contextmanager
def takes_pages_for_the_partners_word() -> Iterator[None]:
    """Any 404 counts as "not known" and any other 4xx as a refusal, whoever said so."""
    read = responses.meaning

    def by_its_status(operation: Any, answer: responses.PartnerResponse) -> Any:
        if answer.status == HTTPStatus.NOT_FOUND:
            return NotFound()
        told = read(operation, answer)
        is_no = HTTPStatus.BAD_REQUEST <= answer.status < HTTPStatus.INTERNAL_SERVER_ERROR
        return Declined(answer.status, f"http_{answer.status}") if is_no and isinstance(told, Unknown) else told

    with patch("partners.http.meaning", by_its_status):
        yield


@contextmanager
def repeats_calls_that_nobody_asks_for() -> Iterator[None]:
    """Every call that was not answered is kept, and sent again to a new bulkhead, whatever its order has become."""
    send, answered = PartnerCalls.send, PartnerCalls.answered

    def keep(self: PartnerCalls, calls: Iterable[Call]) -> None:
        calls = list(calls)
        self.__dict__.setdefault("kept", {}).update({(call.order_id, call.key): call for call in calls})
        send(self, calls)

    def drop(self: PartnerCalls, order: Order, key: str, outcome: Any) -> None:
        self.__dict__.setdefault("kept", {}).pop((order.id, key), None)
        answered(self, order, key, outcome)

    def repeat(self: PartnerCalls, partner: Partner) -> None:
        kept = self.__dict__.get("kept", {}).values()
        send(self, [call for call in kept if PARTNER_OF[type(call.request)] is partner])

    with (
        patch.object(PartnerCalls, "send", keep),
        patch.object(PartnerCalls, "answered", drop),
        patch.object(PartnerCalls, "repeat", repeat),
        patch.object(PartnerCalls, "_is_asked_for", lambda *_: True),
    ):
        yield


# With each, the faults that bring it to light, so that few seeds are enough.
MUTATIONS: dict[str, tuple[Mutation, tuple[str, ...]]] = {
    each.__name__: (each, often)
    for each, often in (
        (settles_before_the_flush, ()),
        (replies_before_the_commit, ()),
        (drops_an_event, ()),
        (publishes_without_waiting, ("connection_dropped", "nack")),
        (forgets_unpublished_events, ("kill_every_s", "broker_down_every_s")),
        (checks_no_token, ("stop_every_s", "cut_every_s")),
        (takes_without_replacing_the_token, ("stop_every_s", "cut_every_s")),
        (takes_what_a_router_asks_for, ("cut_every_s",)),
        (fences_no_version, ("stop_every_s", "cut_every_s")),
        (checks_no_reference_version, ("price_every_s", "copy_not_dropped")),
        (trusts_an_unknown_commit, ("answer_lost",)),
        (gives_an_unknown_commit_up, ("answer_lost", "statement_slow")),
        (rings_early, ()),
        (rings_never, ()),
        (remembers_no_message, ()),
        (says_no_too_surely, ("kill_every_s", "crash_at_failpoint", "database_down_every_s", "statement_refused")),
        (asks_again_under_another_id, ("kill_every_s", "crash_at_failpoint", "cut_every_s")),
        (believes_the_table_for_ever, ("answer_lost", "kill_every_s", "cut_every_s")),
        (takes_a_timeout_for_a_no, ("partner_answer_lost", "event_lost")),
        (takes_pages_for_the_partners_word, ("partner_page",)),
        (repeats_calls_that_nobody_asks_for, ("kill_every_s", "cut_every_s", "stop_every_s", "database_down_every_s")),
        (charges_anew, ("partner_answer_lost", "partner_not_reached")),
    )
}
