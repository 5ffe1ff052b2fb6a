"""What a decision is made of: the next order and everything that has to leave the process once it is committed."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from domain.calls import Call
from domain.events import Event
from domain.order import Order
from domain.payments import Transaction
from domain.reference_data import ReferenceVersion


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRules:
    """The settings that decisions depend on; each has its unit last in its name.

    ``payment_attention_s``: a payment or refund that is undecided for so long needs attention.
    ``payment_events_confirmed``: PaymentSvc is asked before what an event says of a payment counts.
    ``shipping_prices``: method -> currency -> minor units. ``step_retry_first_s`` doubles with each failed try up to
    ``step_retry_max_s``; after ``step_attention_attempts`` failed tries the order needs attention and the step goes on
    slowly, as it does after having waited as long for an open circuit. ``call_lost_s``: a call without an answer for
    so long is made again.
    """

    payment_window_s: float = 1800.0
    payment_settle_s: float = 60.0
    payment_watch_s: float = 86_400.0
    payment_attention_s: float = 3600.0
    payment_attempts_max: int = 20
    payment_events_confirmed: bool = False
    shipping_prices: dict[str, dict[str, int]] = field(
        default_factory=lambda: {
            "standard": {"EUR": 490, "USD": 490, "GBP": 420, "JPY": 600, "KWD": 1500},
            "express": {"EUR": 980, "USD": 980, "GBP": 840, "JPY": 1200, "KWD": 3000},
        }
    )
    shipping_tax_rate: str = "0.2100"
    step_retry_first_s: float = 1.0
    step_retry_max_s: float = 60.0
    step_attention_attempts: int = 6
    call_lost_s: float = 45.0
    verify_first_s: float = 2.0
    verify_max_s: float = 300.0

    @property
    def fast_tries_s(self) -> float:
        """How long a step tries before it needs attention: the sum of its waits until then."""
        waits = range(self.step_attention_attempts - 1)
        return sum(min(self.step_retry_max_s, self.step_retry_first_s * 2.0**wait) for wait in waits)


class PromotionUse(msgspec.Struct, frozen=True):
    """A use of a promotion that this commit depends on: counted against its limits in the same transaction."""

    code: str
    customer_id: str


class CommandResult(msgspec.Struct, frozen=True):
    """The result of a command, for the caller once it is committed. ``resource``: ``order`` or ``payment``; ``resource_id``: a
    payment's or item's id where the command made or changed one. ``settled``: nothing is left running on behalf of the
    command.
    """

    resource: str = "order"
    resource_id: str | None = None
    settled: bool = True


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """``order`` None: nothing changes and nothing is committed (a repeat, or a message that brings nothing new).

    ``promotion_uses`` and ``releases`` are promotion uses taken and given back by this commit. ``reference_versions``: the
    products and the customer that it judges the order by; it counts only if no event announced a newer version.
    """

    order: Order | None
    result: CommandResult = CommandResult()
    events: tuple[Event, ...] = ()
    calls: tuple[Call, ...] = ()
    ledger: tuple[Transaction, ...] = ()
    promotion_uses: tuple[PromotionUse, ...] = ()
    releases: tuple[str, ...] = ()
    reference_versions: tuple[ReferenceVersion, ...] = ()
