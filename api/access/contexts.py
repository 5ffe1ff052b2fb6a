"""What a request has to show before anything is done for it: one dependency for those that read, one for those that change.

Both know who is calling, whether the caller may, and how often. The order's owner decides about the order itself.
"""

from __future__ import annotations

from typing import Annotated, TypeVar

from fastapi import Security
from fastapi.openapi.models import HTTPBearer
from fastapi.security import SecurityScopes
from fastapi.security.base import SecurityBase
from pydantic import BaseModel
from starlette.requests import Request
from starlette.types import Scope

from actors.order.replies import Reply
from api.access.bodies import checked, query_of, read_json, refuse_repeated
from api.access.conditional import expected_version
from api.access.idempotency import (
    MessageIds,
    fingerprint,
    message_ids_of,
    new_message_id,
    read_key,
    without_case_of_codes,
)
from api.access.security import (
    ADMIN,
    METRICS_READ,
    ORDERS_READ,
    ORDERS_WRITE,
    PAYMENTS_WRITE,
    PROMOTIONS_WRITE,
    SCOPES,
    SHIPMENTS_WRITE,
    Caller,
)
from api.http.request_state import RequestState, state_of
from api.problems import Problem
from api.services import Services, services_of
from api.shapes.audience import reply_to
from domain.commands import Actor, ActorType, Body, Message

M = TypeVar("M", bound=BaseModel)


class ReaderContext:
    """A request that reads: who asks, and the services that answer."""

    __slots__ = ("caller", "request", "services", "state")

    def __init__(self, request: Request, caller: Caller, services: Services) -> None:
        self.request = request
        self.caller = caller
        self.services = services
        self.state: RequestState = state_of(request.scope)

    def header(self, name: bytes) -> str | None:
        """Give a header's text without surrounding blanks, or None; ``name`` is in small letters."""
        return self.state.header(name)

    def require(self, *scopes: str) -> None:
        """Raise ``Problem`` ``insufficient_scope`` unless the caller has one of the scopes."""
        if not self.caller.may(*scopes):
            raise _insufficient(scopes)


class CommandContext(ReaderContext):
    """A request that changes something: who wants it, under which key, and what its body says.

    ``content`` has what was sent and no defaults, each value as it was understood: 3.0 as 3, a UUID in lower case.
    ``as_written`` is the same as JSON alone says it, which is what the first release compared repeats by.
    """

    __slots__ = ("as_written", "content", "key", "query")

    def __init__(self, request: Request, caller: Caller, services: Services) -> None:
        """Raises ``Problem`` for a key that can't be used and for too many parameters."""
        super().__init__(request, caller, services)
        self.key = read_key(self.header(b"idempotency-key"))
        self.query = query_of(request)
        self.content: object = None
        self.as_written: object = None

    def require_key(self) -> str:
        """Give the key; raises ``Problem`` ``idempotency_key_missing``."""
        if self.key is None:
            raise Problem("idempotency_key_missing", "Send an Idempotency-Key: a new one for each new wish.")
        return self.key

    async def body(self, model: type[M]) -> M:
        """Read and check the body; raises every ``Problem`` of a body."""
        raw, as_written = await read_json(self.request, self.state.headers, self.services.limits.body_max_bytes)
        body = checked(model, raw)
        if self.key is not None:
            self.content = body.model_dump(exclude_unset=True, by_alias=True)
            self.as_written = as_written
        return body

    def message_ids(self) -> MessageIds:
        """The ids of the message that the request becomes; a new one where it has no key."""
        if self.key is None:
            return MessageIds(new_message_id(), ())
        scope, caller = self.request.scope, self.caller
        return message_ids_of(caller.subject, caller.customer_id, scope["method"], scope["path"], self.key)

    def tell_replayed(self) -> None:
        """Have the answer say that it is the one of an earlier request."""
        self.state.response_headers.append((b"idempotent-replayed", b"true"))

    async def ask(self, order_id: str, body: Body, *, by_staff: bool = False) -> Reply:
        """Send a command to an order and give its reply, as the caller may see it.

        Raises ``Refused``, ``Unavailable``, ``OutcomeUnknown``, or ``Problem`` when ``If-Match`` can't be understood.
        """
        caller = self.caller
        actor_type = ActorType.STAFF if by_staff or caller.is_admin else ActorType.CLIENT
        keyed = self.key is not None
        ids = self.message_ids()
        content = without_case_of_codes(self.content)
        message = Message(
            id=ids.id,
            former_ids=ids.former,
            body=body,
            actor=Actor(actor_type, caller.subject),
            keyed=keyed,
            fingerprint=fingerprint(content, self.query) if keyed else "",
            former_fingerprint=fingerprint(self.as_written, self.query) if content != self.as_written else "",
            expected_version=expected_version(self.header(b"if-match")),
            customer_scope=caller.customer_id,
            traceparent=self.state.trace.parent,
        )
        reply = await self.services.router.ask(order_id, message)
        if reply.replayed:
            self.tell_replayed()
        return reply_to(caller, reply)


class _Bearer(SecurityBase):
    """A bearer token with one of the scopes: what FastAPI shows of it in the document."""

    scheme_name = "bearer"
    model = HTTPBearer(
        bearerFormat="JWT",
        description=f"Claim `scope`: {', '.join(SCOPES)}; `admin` implies all. Claim `customer_id`: "
        "only that customer's orders exist.",
    )

    @staticmethod
    async def admit(request: Request, services: Services, scopes: list[str]) -> Caller:
        """Let a caller in who has one of the scopes; raises ``Problem``: 404 for no path of ours, 401, 429, 403."""
        _refuse_parts(request.scope)
        state = state_of(request.scope)
        caller = await services.authenticator.caller(state.header(b"authorization"))
        state.response_headers.extend(await services.rate_limits.count(caller))
        if scopes and not caller.may(*scopes):
            raise _insufficient(scopes)
        return caller


class _ReaderContexts(_Bearer):
    """The dependency of what reads."""

    async def __call__(self, request: Request, scopes: SecurityScopes) -> ReaderContext:
        """Raises what ``admit`` raises, and ``Problem`` for parameters that are too many or repeated."""
        services = services_of(request)
        caller = await self.admit(request, services, scopes.scopes)
        refuse_repeated(query_of(request))
        return ReaderContext(request, caller, services)


class _CommandContexts(_Bearer):
    """The dependency of what changes something."""

    async def __call__(self, request: Request, scopes: SecurityScopes) -> CommandContext:
        """Raises what ``admit`` and ``CommandContext`` raise."""
        services = services_of(request)
        return CommandContext(request, await self.admit(request, services, scopes.scopes), services)


reader_context = _ReaderContexts()
command_context = _CommandContexts()

OrdersReader = Annotated[ReaderContext, Security(reader_context, scopes=[ORDERS_READ])]
PromotionsReader = Annotated[ReaderContext, Security(reader_context, scopes=[PROMOTIONS_WRITE])]
StaffReader = Annotated[ReaderContext, Security(reader_context, scopes=[ADMIN])]
MetricsReader = Annotated[ReaderContext, Security(reader_context, scopes=[METRICS_READ])]
OrdersWriter = Annotated[CommandContext, Security(command_context, scopes=[ORDERS_WRITE])]
StatusWriter = Annotated[CommandContext, Security(command_context, scopes=[ORDERS_WRITE, SHIPMENTS_WRITE])]
PaymentsWriter = Annotated[CommandContext, Security(command_context, scopes=[PAYMENTS_WRITE])]
PromotionsWriter = Annotated[CommandContext, Security(command_context, scopes=[PROMOTIONS_WRITE])]
StaffWriter = Annotated[CommandContext, Security(command_context, scopes=[ADMIN])]


def _refuse_parts(scope: Scope) -> None:
    """Raise ``Problem`` ``not_found`` where a variable of the path stands for several of its parts, or for none.

    It may hold a slash that was written as ``%2F``; routes see decoded paths, in which the two are alike.
    """
    if scope["raw_path"].count(b"/") != scope["route"].path_format.count("/") or "" in scope["path_params"].values():
        raise Problem("not_found", "There is nothing under this path.")


def _insufficient(scopes: tuple[str, ...] | list[str]) -> Problem:
    wanted = " or ".join(scopes)
    challenge = f'Bearer realm="ordersvc", error="insufficient_scope", scope="{scopes[0]}"'
    return Problem(
        "insufficient_scope", f"This wants the scope {wanted}.", headers=((b"www-authenticate", challenge.encode()),)
    )
