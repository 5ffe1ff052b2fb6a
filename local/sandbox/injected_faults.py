"""Injected faults: how the sandbox is made to misbehave while it runs (``/sandbox/knobs``).

An injected fault has an ``effect``, and fields that say which requests it is for; a field that is left out fits every request.

| effect | does |
|---|---|
| ``delay`` | answers ``delay_ms`` later (a number, or ``[least, most]``); other effects still apply |
| ``fail`` | does nothing and answers ``status`` (503) with ``code`` |
| ``throttle`` | does nothing and answers 429 with ``Retry-After: retry_after_s`` |
| ``hang`` / ``drop`` | does nothing, and never answers / cuts the connection |
| ``do_and_fail`` / ``do_and_hang`` / ``do_and_drop`` | does it, then answers ``status`` / never answers / cuts |
| ``garbage`` | does it and answers 200 with what is not JSON |
| ``page`` / ``do_and_page`` | does nothing / does it, then answers as something in between would: see below |
| ``decline`` | charge: rejected with ``code`` (``card_declined``); refund: rejected |
| ``mismatch`` | charge: takes ``amount_delta`` more (100), or another ``currency``; refund: gives so much more back |
| ``processing`` | charge, refund: 202 now, the end (and its event) after ``delay_ms`` (500) |
| ``silence`` | charge, refund: 202 now, and nothing ever after |
| ``event_first`` | charge: the event is on the broker before the answer is given |
| ``event_twice`` | charge: the same event twice |
| ``no_event`` | charge: no event, neither now nor later |
| ``refuse`` | put_hold: out of stock; commit_hold: the hold has expired |
| ``expire`` | put_hold: what is held is lost after ``delay_ms`` (0) |

A page has a ``status`` (404; any of 200..599) and a ``content``: ``html`` (an HTML page), ``json`` (``{"error": …}`` as
``application/json``), ``problem`` (``application/problem+json``, its ``code`` ``no_upstream``, which no contract names),
``empty`` (no body), ``redirect`` (``status`` 302 and a ``Location``).

``operation`` is one of ``OPERATIONS``. The first injected fault of the list that fits wins for each kind of effect. ``times``
limits how often an injected fault acts, ``probability`` how likely it does; ``hits`` counts how often it did.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Annotated, Final, Literal

import msgspec

from local.sandbox.payments import Plan

FAULTS_MAX: Final = 256
PROCESSING_MS: Final = 500
NEVER: Final = -1
DELAY_MAX_MS: Final = 600_000
FAIL_STATUS: Final = 503
PAGE_STATUS: Final = 404
REDIRECT_STATUS: Final = 302
ERROR_FROM: Final = 400

OPERATIONS: Final = {
    "list_products": "product",
    "put_hold": "product",
    "list_holds": "product",
    "get_hold": "product",
    "delete_hold": "product",
    "commit_hold": "product",
    "charge": "payment",
    "list_payments": "payment",
    "get_payment": "payment",
    "refund": "payment",
    "list_refunds": "payment",
    "get_refund": "payment",
    "get_customer": "user",
}
Effect = Literal[
    "delay", "fail", "throttle", "hang", "drop", "do_and_fail", "do_and_hang", "do_and_drop", "garbage",
    "page", "do_and_page",
    "decline", "mismatch", "processing", "silence", "event_first", "event_twice", "no_event", "refuse", "expire",
]  # fmt: skip
PageContent = Literal["html", "json", "problem", "empty", "redirect"]
BEFORE: Final = frozenset(("fail", "throttle", "hang", "drop", "page"))
AFTER: Final = frozenset(("do_and_fail", "do_and_hang", "do_and_drop", "garbage", "do_and_page"))


class InjectedFault(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One way to misbehave; see the table above."""

    effect: Effect
    partner: Literal["product", "payment", "user"] | None = None
    operation: str | None = None
    order_id: str | None = None
    customer_id: str | None = None
    sku: str | None = None
    method: str | None = None
    token: str | None = None
    probability: Annotated[float, msgspec.Meta(ge=0, le=1)] = 1.0
    times: Annotated[int, msgspec.Meta(ge=0)] | None = None
    # Bounded by `check`: in msgspec 0.22 a bounded number beside a tuple of fixed length crashes the interpreter.
    delay_ms: int | tuple[int, int] | None = None
    status: Annotated[int, msgspec.Meta(ge=200, le=599)] | None = None
    content: PageContent = "html"
    code: str | None = None
    amount_delta: int = 100
    currency: str | None = None
    retry_after_s: Annotated[int, msgspec.Meta(ge=0)] = 1
    hits: int = 0

    def check(self) -> None:
        """Raise ``ValueError`` where a field makes no sense though it is of its type."""
        if self.operation is not None and self.operation not in OPERATIONS:
            raise ValueError(f"no such operation: {self.operation}; there are {', '.join(OPERATIONS)}")
        delays = self.delay_ms if isinstance(self.delay_ms, tuple) else (self.delay_ms or 0,)
        if not all(0 <= delay <= DELAY_MAX_MS for delay in delays):
            raise ValueError(f"delay_ms lies in 0..{DELAY_MAX_MS}")
        if self.effect in ("fail", "do_and_fail") and self.fail_status < ERROR_FROM:
            raise ValueError(f"a failure's status lies in {ERROR_FROM}..599")

    @property
    def fail_status(self) -> int:
        """What ``fail`` and ``do_and_fail`` answer."""
        return self.status or FAIL_STATUS

    @property
    def page_status(self) -> int:
        """What ``page`` and ``do_and_page`` answer."""
        return self.status or (REDIRECT_STATUS if self.content == "redirect" else PAGE_STATUS)

    def delay(self, default_ms: int) -> int:
        """How long this time, in milliseconds."""
        if isinstance(self.delay_ms, tuple):
            return random.randint(min(self.delay_ms), max(self.delay_ms))  # noqa: S311 - misbehaviour, not secrecy
        return default_ms if self.delay_ms is None else self.delay_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of a request, for injected faults to fit or not."""

    operation: str
    order_id: str | None = None
    customer_id: str | None = None
    skus: tuple[str, ...] = ()
    method: str | None = None
    token: str | None = None


NO_EFFECTS: Final[dict[str, InjectedFault]] = {}

# Tokens that make a new charge misbehave without an injected fault, as test cards do at real gateways.
TOKENS: Final[dict[str, dict[str, InjectedFault]]] = {
    token: {fault.effect: fault for fault in faults}
    for token, faults in {
        "tok_declined": [InjectedFault(effect="decline")],
        "tok_insufficient_funds": [InjectedFault(effect="decline", code="insufficient_funds")],
        "tok_fraud": [InjectedFault(effect="decline", code="fraud_suspected")],
        "tok_expired_card": [InjectedFault(effect="decline", code="expired_card")],
        "tok_timeout": [InjectedFault(effect="do_and_hang")],
        "tok_dropped": [InjectedFault(effect="do_and_drop")],
        "tok_error": [InjectedFault(effect="do_and_fail", status=500)],
        "tok_processing": [InjectedFault(effect="processing")],
        "tok_processing_declined": [InjectedFault(effect="processing"), InjectedFault(effect="decline")],
        "tok_mismatch": [InjectedFault(effect="mismatch")],
        "tok_mismatch_currency": [InjectedFault(effect="mismatch", amount_delta=0, currency="CHF")],
        "tok_silence": [InjectedFault(effect="silence")],
        "tok_event_first": [InjectedFault(effect="event_first")],
        "tok_event_twice": [InjectedFault(effect="event_twice")],
        "tok_no_event": [InjectedFault(effect="no_event")],
    }.items()
}


class InjectedFaults:
    """The injected faults that are set now, in order. Raises ``ValueError`` for too many, or such that make no sense."""

    def __init__(self) -> None:
        self._faults: list[InjectedFault] = []

    def __bool__(self) -> bool:
        return bool(self._faults)

    def all(self) -> list[InjectedFault]:
        """The injected faults as they are, with their hits."""
        return self._faults

    def replace(self, faults: list[InjectedFault]) -> None:
        """Set these injected faults and no others."""
        if len(faults) > FAULTS_MAX:
            raise ValueError(f"at most {FAULTS_MAX} knobs can be set")
        for fault in faults:
            fault.check()
        self._faults = faults

    def add(self, fault: InjectedFault) -> None:
        """Set one more injected fault, after the others."""
        self.replace([*self._faults, fault])

    def effects(self, facts: Facts) -> dict[str, InjectedFault]:
        """Which effects this request meets; using up an injected fault's ``times`` and counting its hits."""
        met: dict[str, InjectedFault] = {}
        for fault in self._faults:
            if fault.effect in met or not _fits(fault, facts) or fault.times == 0:
                continue
            if fault.probability < 1.0 and random.random() >= fault.probability:  # noqa: S311 - see above
                continue
            fault.hits += 1
            if fault.times is not None:
                fault.times -= 1
            met[fault.effect] = fault
        return met


def plan(effects: dict[str, InjectedFault]) -> Plan:
    """What a new charge or refund comes to under these effects."""
    decline, mismatch, processing = effects.get("decline"), effects.get("mismatch"), effects.get("processing")
    after_ms = None if processing is None else processing.delay(PROCESSING_MS)
    return Plan(
        is_accepted=decline is None,
        code=(decline and decline.code) or "card_declined",
        amount_delta=mismatch.amount_delta if mismatch else 0,
        currency=mismatch.currency if mismatch else None,
        after_ms=NEVER if "silence" in effects else after_ms,
    )


def _fits(fault: InjectedFault, facts: Facts) -> bool:
    return (
        fault.operation in (None, facts.operation)
        and fault.partner in (None, OPERATIONS[facts.operation])
        and fault.order_id in (None, facts.order_id)
        and fault.customer_id in (None, facts.customer_id)
        and (fault.sku is None or fault.sku in facts.skus)
        and fault.method in (None, facts.method)
        and fault.token in (None, facts.token)
    )
