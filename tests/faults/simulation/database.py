"""The database as a model in memory, with the exact semantics of ``storage``: what it promises, without a server.

Every method is one transaction, done at once. ``test_store_contract.py`` holds it and ``storage.writes.order_store.OrderStore``
against the same sequences, so that it can be trusted.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime, timedelta

import msgspec
from msgspec.structs import replace

from domain.promotions import Promotion
from domain.reference_data import ReferenceKind, ReferenceVersion
from domain.slices import PARTITIONS, partition_of, slice_of
from storage.errors import UndecodableSnapshot
from storage.writes.commits import Commit, FlushResult, Loaded, StoredEvent
from storage.writes.order_codec import SCHEMA_NUMBER, decode_order, encode_order
from storage.writes.owners import ListedProcess

INBOX_CONSTRAINT = "message_has_effect_once"


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A row of ``orders``: the columns that decide anything."""

    version: int
    slice: int
    schema_number: int
    snapshot: bytes
    deadline: datetime | None
    check_at: datetime | None
    is_open: bool
    is_running: bool
    number: str | None
    total: int
    dedicated_group: str | None = None
    set_aside: str | None = None


class MemoryStore:
    """The tables. ``now`` gives the database's time, aware of its zone."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self.now = now
        self.rows: dict[str, Row] = {}
        self.processes: dict[str, ListedProcess] = {}
        self.seen_at: dict[str, datetime] = {}
        self.roles: dict[str, str] = {}
        self.token_of: dict[str, str] = {}
        self.owner_of: dict[str, str | None] = {str(k): None for k in range(PARTITIONS)}
        self.events: dict[tuple[str, int], StoredEvent] = {}
        self.unpublished_since: dict[tuple[str, int], datetime] = {}
        self.inbox: dict[str, dict[str, tuple[str, bytes | None]]] = {}
        self.ledger: dict[str, set[str]] = {}
        self.promotion: dict[str, Promotion] = {}
        self.uses: dict[tuple[str, str], str] = {}
        self.reference_versions: dict[tuple[ReferenceKind, str], int] = {}
        self._token = 0
        self._number = 1

    # Processes.

    def register(self, process: str, name: str, state: str) -> None:
        """A process writes its row."""
        self.processes[process] = ListedProcess(
            process=process, name=name, state=state, seen_s=0.0, started_s=0.0, started_at=self.now()
        )
        self.seen(process)

    def seen(self, process: str) -> None:
        """A process renews its row."""
        self.seen_at[process] = self.now()

    def assign_state(self, process: str, state: str) -> None:
        """A process writes what it does into its row."""
        self.processes[process] = replace(self.processes[process], state=state)

    def listed(self) -> list[ListedProcess]:
        """The rows of all processes."""
        now = self.now()
        return [
            replace(
                row,
                seen_s=(now - self.seen_at[row.process]).total_seconds(),
                started_s=(now - row.started_at).total_seconds(),
                state=row.state if row.state == "starting" else self.roles.get(row.name, row.state),
            )
            for row in self.processes.values()
        ]

    def shard_roles(self, cell: str) -> dict[str, str]:
        """What shards are to do where that is not what their settings say."""
        return dict(self.roles)

    # Ownership.

    def renew(self, process: str) -> str:
        """Give the lease of a process a new token."""
        self._token += 1
        self.token_of[process] = f"token-{self._token}"
        return self.token_of[process]

    def owned(self, process: str) -> frozenset[str]:
        """The partitions of a process."""
        return frozenset(name for name, owner in self.owner_of.items() if owner == process)

    def owners(self) -> dict[str, str | None]:
        """The process that owns each partition."""
        return dict(self.owner_of)

    def owner_names(self) -> dict[str, str | None]:
        """The name of the process that owns each partition."""
        rows = self.processes
        return {name: rows[owner].name if owner in rows else None for name, owner in self.owner_of.items()}

    def holds(self, process: str, token: str) -> bool:
        """Whether the lease stands."""
        return self.token_of.get(process) == token

    def take(self, process: str, former: str | None, partitions: Collection[str]) -> frozenset[str]:
        """Take those of the partitions that are still the former owner's."""
        if former is not None and former in self.token_of:
            self.renew(former)
        taken = frozenset(name for name in partitions if name in self.owner_of and self.owner_of[name] == former)
        self.owner_of.update(dict.fromkeys(sorted(taken), process))
        return taken

    def give(self, process: str, token: str, partition: str, to: str) -> bool:
        """Give a partition of one's own away."""
        if not self.holds(process, token) or self.owner_of.get(partition) != process:
            return False
        self.owner_of[partition] = to
        return True

    def split(self, process: str, token: str, order_id: str) -> bool:
        """Make an open order a partition of one."""
        row = self.rows.get(order_id)
        if not self.holds(process, token) or row is None or not row.is_open or row.dedicated_group is not None:
            return False
        self.rows[order_id] = replace(row, dedicated_group=f"order-{order_id}")
        self.owner_of[f"order-{order_id}"] = process
        return True

    def merge(self, process: str, token: str, order_id: str) -> bool:
        """Give an order back to the partition of its slice."""
        partition = f"order-{order_id}"
        if not self.holds(process, token) or self.owner_of.get(partition) != process:
            return False
        del self.owner_of[partition]
        self.rows[order_id] = replace(self.rows[order_id], dedicated_group=None)
        return True

    def closed(self, partitions: Collection[str]) -> list[str]:
        """Which of these partitions of one order have an order that is closed."""
        return [f"order-{i}" for i, row in self.rows.items() if f"order-{i}" in partitions and not row.is_open]

    def owner_of_order(self, order_id: str) -> str | None:
        """The process that owns an order."""
        row = self.rows.get(order_id)
        dedicated = None if row is None else row.dedicated_group
        return self.owner_of.get(dedicated or partition_of(order_id))

    # Committing.

    def flush(self, process: str, token: str, commits: Sequence[Commit]) -> FlushResult:
        """Commit a batch of different orders; each as a whole or not at all."""
        if not self.holds(process, token):
            return FlushResult(owned=False)
        used = frozenset(self.uses)
        refused = self._claim(commits)
        committed: set[str] = set()
        outdated = {c.order.id for c in commits if c.order.id not in refused and self.is_outdated(c)}
        poisoned: dict[str, str] = {}
        for commit in sorted(commits, key=lambda each: each.order.id):
            order_id = commit.order.id
            if order_id in refused:
                continue
            why = "outdated" if order_id in outdated else self._write(commit)
            if why == "":
                committed.add(order_id)
            elif why not in ("outdated", "stale", INBOX_CONSTRAINT):
                poisoned[order_id] = why
            if why:  # claimed for nothing
                self._give_back(order_id, [code for code, _ in commit.promotion_uses if (code, order_id) not in used])
            else:
                self._give_back(order_id, commit.releases)
        return FlushResult(
            owned=True,
            committed=frozenset(committed),
            refused=refused,
            outdated=frozenset(outdated),
            poisoned=poisoned,
        )

    def is_outdated(self, commit: Commit) -> bool:
        """Whether an event has told of a newer version than the order is judged by."""
        return any(
            each.version < self.reference_versions.get((each.kind, each.key), 0) for each in commit.reference_versions
        )

    def raise_version(self, change: ReferenceVersion) -> None:
        """Commit the version that an event told of."""
        key = (change.kind, change.key)
        self.reference_versions[key] = max(change.version, self.reference_versions.get(key, 0))

    def _write(self, commit: Commit) -> str:
        """Write one commit: empty when it is done, ``stale``, or the constraint that it breaks."""
        order, order_id = commit.order, commit.order.id
        row = self.rows.get(order_id)
        broken = _broken_row(commit)
        if commit.base_version:
            if row is None or row.version != commit.base_version:
                return "stale"
        elif row is not None:
            return broken or "stale"
        broken = broken or self._broken(commit)
        if broken:
            return broken
        is_open = not order.is_closed
        self.rows[order_id] = Row(
            version=order.version,
            slice=slice_of(order_id),
            schema_number=SCHEMA_NUMBER,
            snapshot=encode_order(order),
            deadline=commit.deadline,
            check_at=_check_at(row, commit, is_open=is_open),
            is_open=is_open,
            is_running=_is_running(commit),
            number=order.number,
            total=commit.total,
            dedicated_group=None if row is None else row.dedicated_group,
        )
        for event in commit.events:
            self.events[order_id, event.sequence] = event
            self.unpublished_since[order_id, event.sequence] = event.at
        if commit.message_id is not None:
            self.inbox.setdefault(order_id, {})[commit.message_id] = (commit.fingerprint, commit.reply)
        self.ledger.setdefault(order_id, set()).update(entry.transaction_id for entry in commit.ledger)
        return ""

    def _broken(self, commit: Commit) -> str:
        """The constraint that the commit would break beside its own row.

        That of the number comes first, as the row does; PostgreSQL fills the other tables from the last to the first.
        """
        order_id, number = commit.order.id, commit.order.number
        if number is not None and any(row.number == number for key, row in self.rows.items() if key != order_id):
            return "order_number_is_given_once"
        if self.ledger.get(order_id, set()) & {entry.transaction_id for entry in commit.ledger}:
            return "money_is_entered_once"
        if commit.message_id in self.inbox.get(order_id, {}):
            return INBOX_CONSTRAINT
        if any((order_id, event.sequence) in self.events for event in commit.events):
            return "order_seq_is_unique"
        return ""

    def _claim(self, commits: Sequence[Commit]) -> dict[str, str]:
        """Take uses of promotions in the order given; an order that gets one refused gets none."""
        refused: dict[str, str] = {}
        used = frozenset(self.uses)
        for commit in commits:
            order_id = commit.order.id
            for code, customer_id in commit.promotion_uses:
                if (code, order_id) in self.uses:
                    continue
                why = self._refusal(code, customer_id)
                if why:
                    refused[order_id] = why
                    self._give_back(
                        order_id, [other for other, _ in commit.promotion_uses if (other, order_id) not in used]
                    )
                    break
                self.uses[code, order_id] = customer_id
        return refused

    def _give_back(self, order_id: str, codes: Iterable[str]) -> None:
        for code in codes:
            self.uses.pop((code, order_id), None)

    def _refusal(self, code: str, customer_id: str) -> str:
        one = self.promotion.get(code)
        if one is None:
            return "discount_not_found"
        now = self.now()
        begun = one.starts_at is None or one.starts_at <= now
        if not one.active or not begun or (one.ends_at is not None and one.ends_at <= now):
            return "discount_not_active"
        users = [user for (used, _), user in self.uses.items() if used == code]
        if one.max_uses is not None and len(users) >= one.max_uses:
            return "discount_exhausted"
        if one.max_uses_per_customer is not None and users.count(customer_id) >= one.max_uses_per_customer:
            return "discount_exhausted"
        return ""

    # Reading.

    def load(self, order_ids: Sequence[str]) -> dict[str, Loaded]:
        """What is stored of the orders."""
        found = {}
        for order_id in order_ids:
            row = self.rows.get(order_id)
            if row is None:
                continue
            order = undecodable = None
            try:
                order = decode_order(row.snapshot, row.schema_number)
            except UndecodableSnapshot as error:
                undecodable = str(error)
            found[order_id] = Loaded(
                order=order,
                undecodable=undecodable,
                dedicated_group=row.dedicated_group,
                keys={key: fingerprint for key, (fingerprint, _) in self.inbox.get(order_id, {}).items()},
                unpublished=self.unpublished([order_id]).get(order_id, ()),
            )
        return found

    def reply(self, order_id: str, message_id: str) -> bytes | None:
        """The remembered reply of a message."""
        return self.inbox.get(order_id, {}).get(message_id, ("", None))[1]

    def promotions(self, codes: Sequence[str]) -> tuple[Promotion, ...]:
        """The promotions that exist among ``codes``, by code."""
        return tuple(self.promotion[code] for code in sorted(set(codes)) if code in self.promotion)

    def due(self, partitions: frozenset[str], ahead_s: float, limit: int) -> list[tuple[str, datetime]]:
        """Orders whose deadline has passed or comes soon, the most overdue first."""
        horizon = self.now() + timedelta(seconds=ahead_s)
        found = []
        for order_id, row in self.rows.items():
            if row.check_at is None or row.check_at > horizon or not _is_in(row, partitions):
                continue
            if row.deadline is None or row.deadline > horizon:
                self.rows[order_id] = replace(row, check_at=row.deadline)
            elif row.set_aside is None:
                found.append((row.check_at, order_id, row.deadline))
        return [(order_id, deadline) for _, order_id, deadline in sorted(found)[:limit]]

    def overdue(self, older_than_s: float, limit: int) -> list[tuple[str, datetime]]:
        """Orders, whoever owns them, whose deadline passed a while ago."""
        limit_at = self.now() - timedelta(seconds=older_than_s)
        found = [
            (row.check_at, order_id, row.deadline)
            for order_id, row in self.rows.items()
            if row.check_at is not None and row.deadline is not None and row.set_aside is None
        ]
        due = [each for each in sorted(found) if each[0] < limit_at and each[2] < limit_at]
        return [(order_id, deadline) for _, order_id, deadline in due[:limit]]

    def running(
        self, partitions: frozenset[str], after: tuple[datetime, str] | None, limit: int
    ) -> list[tuple[str, datetime]]:
        """A page of the orders that wait for a partner's answer."""
        found = sorted(
            (row.check_at, order_id)
            for order_id, row in self.rows.items()
            if row.check_at is not None
            and row.is_running
            and _is_in(row, partitions)
            and row.set_aside is None
            and (after is None or (row.check_at, order_id) > after)
        )
        return [(order_id, check_at) for check_at, order_id in found[:limit]]

    def unpublished_orders(self, partitions: frozenset[str], older_than_s: float, limit: int) -> list[str]:
        """Orders that have had an unpublished event for a while, the oldest first."""
        limit_at = self.now() - timedelta(seconds=older_than_s)
        oldest: dict[str, datetime] = {}
        for (order_id, _), at in self.unpublished_since.items():
            if at < limit_at and _has_slice(self.rows[order_id], partitions):
                oldest[order_id] = min(at, oldest.get(order_id, at))
        return sorted(oldest, key=lambda order_id: (oldest[order_id], order_id))[:limit]

    def unpublished(self, order_ids: Sequence[str]) -> dict[str, tuple[StoredEvent, ...]]:
        """The unpublished events of orders, by sequence."""
        found = {}
        for order_id in order_ids:
            waiting = sorted(sequence for owner, sequence in self.unpublished_since if owner == order_id)
            if waiting:
                found[order_id] = tuple(self.events[order_id, sequence] for sequence in waiting)
        return found

    def mark_published(self, events: Sequence[tuple[str, int]]) -> None:
        """The broker has confirmed these."""
        for key in events:
            self.unpublished_since.pop(key, None)

    # Small things.

    def take_numbers(self, count: int) -> int:
        """Reserve order numbers: the first."""
        first, self._number = self._number, self._number + count
        return first

    def set_aside(self, order_id: str, reason: str) -> None:
        """Mark an order that nothing can be done with."""
        if order_id in self.rows:
            self.rows[order_id] = replace(self.rows[order_id], set_aside=reason, check_at=None)

    def take_up_again(self, order_id: str) -> None:
        """Staff have mended it."""
        row = self.rows.get(order_id)
        if row is not None:
            self.rows[order_id] = replace(row, set_aside=None, check_at=row.deadline)


def _broken_row(commit: Commit) -> str:
    if min(commit.total, commit.paid, commit.refunded) < 0:
        return "amounts_are_not_negative"
    if commit.order.is_closed and (commit.deadline is not None or _is_running(commit)):
        return "closed_orders_wait_for_nothing"
    return "" if commit.order.version >= 1 else "version_begins_at_1"


def _is_running(commit: Commit) -> bool:
    return any(step.state == "running" for step in commit.order.steps)


def _check_at(row: Row | None, commit: Commit, *, is_open: bool) -> datetime | None:
    """Never later than the deadline; it trails where that moves on (the column's comment in the first migration), unless the commit
    changes a column that has an index.
    """
    deadline = commit.deadline
    if row is None:
        return deadline
    if not is_open:
        return None
    if (row.total, row.number) != (commit.total, commit.order.number):
        return deadline
    if row.check_at is None or (deadline is not None and deadline < row.check_at):
        return deadline
    return row.check_at


def _is_in(row: Row, partitions: frozenset[str]) -> bool:
    return row.dedicated_group in partitions if row.dedicated_group is not None else _has_slice(row, partitions)


def _has_slice(row: Row, partitions: frozenset[str]) -> bool:
    return str(row.slice % PARTITIONS) in partitions
