"""The way in: who is calling, whether they may, how often, and the message that their wish becomes.

Every handler that changes or shows something starts here. The order's owner decides about the order itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from pydantic import BaseModel

from actors.replies import Reply
from api.audience import reply_to
from api.auth import Authenticator, Caller
from api.bodies import checked, read_json
from api.conditions import expected_version
from api.exchange import Incoming
from api.idempotency import MessageIds, fingerprint, message_ids_of, new_message_id, read_key, without_case_of_codes
from api.limits import RateLimits
from api.order_ids import order_id_of
from api.ports import RouterPort
from api.problems import Problem
from domain.commands import Actor, ActorType, Body, Message

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Wish:
    """A request that would change something: who wants it, under which key, and what its body says.

    ``content`` has what was sent and no defaults, each value as it was understood: 3.0 as 3, a UUID in lower case.
    ``as_written`` is the same as JSON alone says it, which is what the first release compared repeats by.
    """

    caller: Caller
    key: str | None
    content: object
    as_written: object = None

    def message_ids(self, asked: Incoming) -> MessageIds:
        """The ids of the message that the request becomes; a new one where it has no key."""
        if self.key is None:
            return MessageIds(new_message_id(), ())
        return message_ids_of(self.caller.subject, self.caller.customer_id, asked.method, asked.path, self.key)


class Door:
    """Lets requests in and sends commands to orders."""

    def __init__(
        self, authenticator: Authenticator, limits: RateLimits, router: RouterPort, *, body_max_bytes: int
    ) -> None:
        self._authenticator = authenticator
        self._limits = limits
        self._router = router
        self._body_max_bytes = body_max_bytes

    async def admit(self, asked: Incoming, *scopes: str) -> Caller:
        """Let a caller in who has one of the scopes.

        Raises ``Problem``: 401, then 429, then 403; which order is asked for does not matter to it.
        """
        caller = await self._authenticator.caller(asked.header(b"authorization"))
        await self._limits.count(asked, caller)
        require(caller, *scopes)
        return caller

    async def wish(self, asked: Incoming, *scopes: str, key_required: bool = False) -> Wish:
        """Let in a request without a body; raises what ``admit`` and ``read_key`` raise."""
        caller = await self.admit(asked, *scopes)
        return Wish(caller, read_key(asked.header(b"idempotency-key"), required=key_required), None)

    async def wish_with(
        self, asked: Incoming, model: type[M], *scopes: str, key_required: bool = False
    ) -> tuple[Wish, M]:
        """Let in a request with a body; raises what ``wish`` raises and every problem of a body."""
        wish = await self.wish(asked, *scopes, key_required=key_required)
        raw, as_written = await read_json(asked, self._body_max_bytes)
        body = checked(model, raw)
        if wish.key is None:
            return wish, body
        return Wish(wish.caller, wish.key, body.model_dump(exclude_unset=True, by_alias=True), as_written), body

    async def command(self, asked: Incoming, wish: Wish, body: Body, *, by_staff: bool = False) -> Reply:
        """Send a command to the order that the path names."""
        return await self.send(asked, wish, order_id_of(asked), body, by_staff=by_staff)

    async def send(self, asked: Incoming, wish: Wish, order_id: str, body: Body, *, by_staff: bool = False) -> Reply:
        """Send a command to an order and give its answer, as the caller may see it.

        Raises ``Refused``, ``Unavailable``, ``OutcomeUnknown``, or ``Problem`` when ``If-Match`` can't be understood.
        """
        caller = wish.caller
        actor_type = ActorType.STAFF if by_staff or caller.is_admin else ActorType.CLIENT
        keyed = wish.key is not None
        ids = wish.message_ids(asked)
        content = without_case_of_codes(wish.content)
        message = Message(
            id=ids.id,
            former_ids=ids.former,
            body=body,
            actor=Actor(actor_type, caller.subject),
            keyed=keyed,
            fingerprint=fingerprint(content, asked.query()) if keyed else "",
            former_fingerprint=fingerprint(wish.as_written, asked.query()) if content != wish.as_written else "",
            expected_version=expected_version(asked.header(b"if-match")),
            customer_scope=caller.customer_id,
            traceparent=asked.trace.parent,
        )
        reply = await self._router.ask(order_id, message)
        if reply.replayed:
            asked.told.append((b"idempotent-replayed", b"true"))
        return reply_to(caller, reply)


def require(caller: Caller, *scopes: str) -> None:
    """Raise ``Problem`` ``insufficient_scope`` unless the caller has one of the scopes (or none is named)."""
    if scopes and not caller.may(*scopes):
        wanted = " or ".join(scopes)
        challenge = f'Bearer realm="ordersvc", error="insufficient_scope", scope="{scopes[0]}"'
        raise Problem(
            "insufficient_scope",
            f"This wants the scope {wanted}.",
            headers=((b"www-authenticate", challenge.encode()),),
        )
