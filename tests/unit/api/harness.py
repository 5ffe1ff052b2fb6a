"""Drives the application without a socket, and stands in for the rest of the service."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, unquote

import jwt
import msgspec
from msgspec.structs import replace
from starlette.types import ASGIApp
from starlette.types import Message as AsgiMessage

from actors.order.replies import Reply
from api.access.jwks import KeySet
from api.access.security import Authenticator, TokenRules
from api.app import create_app
from api.ports import Health
from api.services import ApiLimits, Collaborators, Services
from domain.commands import CreateOrder, Message, Pay
from domain.order import Order, OrderLine, Status
from domain.payments import Payment, PaymentStatus
from domain.promotions import Promotion, code_key
from domain.representation import represent, represent_payment
from messaging.consuming.dead_letters import DeadLetter
from storage.errors import StorageUnavailable
from storage.reads.order_filters import OrderFilters, PageKey, Sort
from storage.reads.order_queries import Bucket, GroupBy, OrderPage
from storage.writes.commits import StoredEvent
from storage.writes.kept_answers import KeptAnswer
from storage.writes.promotions import StoredPromotion

KEY = "a key that is long enough for HS256, and for nothing else"
FAR_FUTURE = 4_102_444_800  # 2100
NOW = datetime(2026, 11, 24, 10, 15, 30, 123000, tzinfo=UTC)
ORDER_ID = "0198f7a2-8e11-7aa0-9a0e-2f8f6d3c1b00"
PAYMENT_ID = "0198f7a2-8fff-7001-8f0e-2f8f6d3c1b77"
EVERY_SCOPE = "orders:read orders:write payments:write shipments:write promotions:write"
PRICES = {"standard": {"EUR": 490, "JPY": 600}, "express": {"EUR": 980}}
_encode = msgspec.json.Encoder().encode


def token(scope: str = EVERY_SCOPE, *, key: str = KEY, sub: str = "tester", **claims: Any) -> str:
    """A signed token."""
    return jwt.encode({"sub": sub, "scope": scope, "exp": FAR_FUTURE, **claims}, key, algorithm="HS256")


def an_order(**changes: Any) -> Order:
    """An order as it is right after its creation."""
    order = Order(
        id=ORDER_ID,
        version=1,
        revision=1,
        status=Status.CREATED,
        customer_id="c-1001",
        currency="EUR",
        lines=(OrderLine(id="0198f7a2-8e11-7aa0-9a0e-2f8f6d3c1b01", sku="SKU-1", quantity=2),),
        shipping_method="standard",
        created_at=NOW,
        updated_at=NOW,
        expires_at=NOW,
    )
    return replace(order, **changes)


def a_payment(**changes: Any) -> Payment:
    """A payment whose outcome is awaited."""
    payment = Payment(
        payment_id=PAYMENT_ID,
        status=PaymentStatus.PROCESSING,
        amount=7125,
        currency="EUR",
        method="card",
        created_at=NOW,
        updated_at=NOW,
    )
    return replace(payment, **changes)


@dataclass
class FakeRouter:
    """Answers each message with what it was told to; ``asked`` has what came."""

    reply: Reply | None = None
    become: Reply | None = None
    error: Exception | None = None
    asked: list[tuple[str, Message]] = field(default_factory=list)
    waited: list[tuple[str, str, float]] = field(default_factory=list)

    async def ask(self, order_id: str, message: Message, *, timeout_s: float | None = None) -> Reply:
        self.asked.append((order_id, message))
        if self.error is not None:
            raise self.error
        if self.reply is not None:
            return self.reply
        if isinstance(message.body, Pay):
            document = _encode(represent_payment(a_payment()))
            return Reply(document=document, version=4, resource="payment", resource_id=PAYMENT_ID, settled=False)
        changes: dict[str, Any] = {"id": order_id}
        if isinstance(message.body, CreateOrder):
            changes["customer_id"] = message.body.customer_id
        return Reply(document=_encode(represent(an_order(**changes))), version=1)

    async def wait(self, order_id: str, until: str, seconds: float) -> Reply | None:
        self.waited.append((order_id, until, seconds))
        return self.become

    @property
    def message(self) -> Message:
        """The one message that came."""
        assert len(self.asked) == 1
        return self.asked[0][1]


@dataclass
class FakeQueries:
    """Committed rows."""

    rows: dict[str, Order] = field(default_factory=dict)
    page: OrderPage = field(default_factory=lambda: OrderPage((), None))
    events: tuple[StoredEvent, ...] = ()
    figures: dict[str, Any] = field(default_factory=lambda: {"orders": 1})
    away: bool = False
    listed: list[tuple[OrderFilters, Sort, int, PageKey | None]] = field(default_factory=list)
    reckoned: list[dict[str, Any]] = field(default_factory=list)

    def keep(self, order: Order) -> Order:
        self.rows[order.id] = order
        return order

    async def order(self, order_id: str) -> Order | None:
        if self.away:
            raise StorageUnavailable("away")
        return self.rows.get(order_id)

    async def orders(
        self, filters: OrderFilters, *, sort: Sort = Sort.NEWEST_FIRST, limit: int, after: PageKey | None = None
    ) -> OrderPage:
        self.listed.append((filters, sort, limit, after))
        return self.page

    async def timeline(self, order_id: str) -> tuple[StoredEvent, ...]:
        return self.events

    async def statistics(
        self,
        *,
        since: datetime,
        until: datetime,
        bucket: Bucket | None = None,
        group_by: GroupBy | None = None,
        customer_id: str | None = None,
    ) -> dict[str, Any]:
        self.reckoned.append({"since": since, "until": until, "bucket": bucket, "customer_id": customer_id})
        return self.figures


@dataclass
class FakeAnswers:
    """Answers in a dict; ``forgets`` counts how often old ones were looked for."""

    rows: dict[str, KeptAnswer] = field(default_factory=dict)
    forgets: int = 0

    async def find(self, answer_id: str) -> KeptAnswer | None:
        return self.rows.get(answer_id)

    async def keep(self, kept: KeptAnswer) -> None:
        self.rows.setdefault(kept.id, kept)

    async def forget(self, keep_days: int) -> None:
        assert keep_days == 7
        self.forgets += 1

    def kept(self, kept: KeptAnswer | None) -> bool:
        """Keep it beside a change that was made."""
        if kept is not None:
            assert kept.id not in self.rows
            self.rows[kept.id] = kept
        return True


@dataclass
class FakePromotions:
    """Promotions in a dict, and what changes of them were answered."""

    answers: FakeAnswers
    rows: dict[str, StoredPromotion] = field(default_factory=dict)
    lose_races: int = 0

    async def find(self, code: str) -> StoredPromotion | None:
        return next((each for each in self.rows.values() if code_key(each.code) == code_key(code)), None)

    async def list(self, *, limit: int, after: str | None = None) -> Sequence[StoredPromotion]:
        return [self.rows[code] for code in sorted(self.rows) if after is None or code > after][:limit]

    async def create(self, promotion: Promotion, kept: KeptAnswer | None = None) -> bool:
        if await self.find(promotion.code) is not None:
            return False
        self.rows[promotion.code] = promotion
        return self.answers.kept(kept)

    async def change(self, before: StoredPromotion, after: StoredPromotion, kept: KeptAnswer | None = None) -> bool:
        if self.lose_races or self.rows.get(before.code) != before:
            self.lose_races -= 1
            return False
        self.rows[before.code] = after
        return self.answers.kept(kept)

    async def delete(self, code: str, kept: KeptAnswer | None = None) -> bool:
        found = await self.find(code)
        return found is not None and self.rows.pop(found.code) is found and self.answers.kept(kept)


@dataclass
class FakeRedis:
    """Counts and remembers, or is away."""

    away: bool = False
    counts: dict[str, int] = field(default_factory=dict)
    kept: dict[str, bytes] = field(default_factory=dict)

    async def count(self, name: str, amount: int, *, keep_s: int) -> int | None:
        if self.away:
            return None
        self.counts[name] = self.counts.get(name, 0) + amount
        return self.counts[name]

    async def recall(self, name: str) -> bytes | None:
        return self.kept.get(name)

    async def remember(self, name: str, value: bytes, *, keep_s: float) -> None:
        self.kept[name] = value


@dataclass
class FakeDeadLetters:
    """Dead letters in a dict."""

    rows: dict[str, DeadLetter] = field(default_factory=dict)

    async def list(self, *, limit: int) -> Sequence[DeadLetter]:
        return list(self.rows.values())[:limit]

    async def find(self, letter_id: str) -> DeadLetter | None:
        return self.rows.get(letter_id)

    async def resend(self, letter_id: str) -> bool:
        return self.rows.pop(letter_id, None) is not None


@dataclass
class FakeHealth:
    """How the dependencies are."""

    found: dict[str, Health] = field(
        default_factory=lambda: {"postgresql": Health("ok", 0.5), "shards": Health("ok", 1)}
    )

    async def check(self) -> Mapping[str, Health]:
        return self.found


class FakeMetrics:
    """Metrics."""

    async def text(self, accept: str = "") -> tuple[bytes, str]:
        return b"figures 1\n", "application/openmetrics-text" if "openmetrics" in accept else "text/plain"


@dataclass
class Answered:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The code of a problem."""
        assert self.headers["content-type"] == "application/problem+json"
        document = self.json
        assert document["status"] == self.status
        assert len(document["trace_id"]) == 32
        code: str = document["code"]
        return code


async def drive(
    app: ASGIApp,
    method: str,
    path: str,
    *,
    query: str = "",
    headers: Mapping[str, str] | None = None,
    chunks: Sequence[bytes] = (b"",),
) -> Answered:
    """Send one request, its body in ``chunks``, and gather the answer. What is escaped in the path stays so on the wire."""
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(path),
        "raw_path": quote(path, safe="/%").encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in (headers or {}).items()],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8000),
    }
    parts: list[AsgiMessage] = [
        {"type": "http.request", "body": chunk, "more_body": n < len(chunks) - 1} for n, chunk in enumerate(chunks)
    ]
    sent: list[AsgiMessage] = []

    async def receive() -> AsgiMessage:
        return parts.pop(0) if parts else {"type": "http.disconnect"}

    async def send(message: AsgiMessage) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return Answered(
        status=sent[0]["status"],
        headers={name.decode(): value.decode("latin-1") for name, value in sent[0]["headers"]},
        body=b"".join(message.get("body", b"") for message in sent[1:]),
    )


class World:
    """The application among fakes."""

    def __init__(self, *, key_set: KeySet | None = None, token_rules: TokenRules | None = None, **limits: Any) -> None:
        self.router = FakeRouter()
        self.queries = FakeQueries()
        self.answers = FakeAnswers()
        self.promotions = FakePromotions(self.answers)
        self.redis = FakeRedis()
        self.dead_letters = FakeDeadLetters()
        self.health = FakeHealth()
        collaborators = Collaborators(
            authenticator=Authenticator(token_rules or TokenRules(key=KEY), key_set),
            router=self.router,
            queries=self.queries,
            promotions=self.promotions,
            rate_counter=self.redis,
            memory=self.redis,
            answers=self.answers,
            dead_letters=self.dead_letters,
            health=self.health,
            metrics=FakeMetrics(),
            asyncapi={"asyncapi": "3.0.0"},
        )
        of_world = ApiLimits(**{"shipping_prices": PRICES, "cursor_secrets": (b"secret",), **limits})
        self.app = create_app(of_world, Services(collaborators, of_world))

    async def ask(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        token: str | None = token(),
        key: str | None = None,
        **more: Any,
    ) -> Answered:
        """Send a request with a token, a JSON body and an idempotency key, each where there is one."""
        headers: dict[str, str] = dict(more.pop("headers", {}))
        if token is not None:
            headers.setdefault("authorization", f"Bearer {token}")
        if key is not None:
            headers.setdefault("idempotency-key", key)
        if json is not None:
            headers.setdefault("content-type", "application/json")
            more.setdefault("chunks", (_encode(json),))
        return await drive(self.app, method, path, headers=headers, **more)
