"""How clients ask: over HTTP, with a limit on each wait, and every answer noted in the history.

`Asker.ask` is one request. `Asker.insist` asks again with the same key until the outcome is known, as a careful client does.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from dataclasses import dataclass
from typing import Any

import aiohttp

from tests.faults.history import History, Outcome, Told, Wish, read_answer, shown_orders, shown_payments

ANSWER_LIMIT_S = 25.0
TRIES_MAX = 60
PAUSE_FIRST_S = 0.1
PAUSE_MAX_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is sent, and what for."""

    wish: Wish
    method: str
    path: str
    body: Any = None
    key: str | None = None
    order_id: str | None = None
    customer_id: str | None = None
    if_match: int | None = None
    prefer_wait_s: int = 0
    is_reuse: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What was told, and the document that came with it."""

    told: Told
    document: Any

    @property
    def is_done(self) -> bool:
        """Whether it succeeded."""
        return self.told.outcome is Outcome.DONE


class Asker:
    """One client's way to the API at ``api``, with ``token``."""

    def __init__(self, name: str, session: aiohttp.ClientSession, api: str, token: str, history: History) -> None:
        self.name = name
        self._session = session
        self._api = api
        self._token = token
        self.history = history

    async def ask(self, request: Request) -> Answer:
        """Send it once, and note what was told."""
        headers = {"Authorization": f"Bearer {self._token}"}
        if request.key is not None:
            headers["Idempotency-Key"] = request.key
        if request.if_match is not None:
            headers["If-Match"] = f'"{request.if_match}"'
        if request.prefer_wait_s:
            headers["Prefer"] = f"wait={request.prefer_wait_s}"
        data = None
        if request.body is not None:
            headers["Content-Type"] = "application/json"
            data = json.dumps(request.body).encode()
        asked_s = time.monotonic()
        status, raw, replayed = 0, b"", False
        try:
            async with self._session.request(
                request.method,
                self._api + request.path,
                data=data,
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=ANSWER_LIMIT_S),
            ) as answer:
                raw = await answer.read()
                status, replayed = answer.status, answer.headers.get("Idempotent-Replayed") == "true"
        except (aiohttp.ClientError, OSError, TimeoutError):
            raw = b""
        document, digest = read_answer(raw)
        return Answer(self._note(request, asked_s, status, document, digest, is_replayed=replayed), document)

    async def insist(self, request: Request, rng: random.Random, *, patience: float = 1.0) -> Answer:
        """Ask until the outcome is known; give up early with the probability of ``1 - patience`` at each try."""
        pause_s = PAUSE_FIRST_S
        for _ in range(TRIES_MAX):
            answer = await self.ask(request)
            if answer.told.outcome in (Outcome.DONE, Outcome.REFUSED) or rng.random() > patience:
                break
            await asyncio.sleep(pause_s * rng.uniform(0.5, 1.0))
            pause_s = min(pause_s * 2, PAUSE_MAX_S)
        return answer

    def _note(
        self, request: Request, asked_s: float, status: int, document: Any, digest: str, *, is_replayed: bool
    ) -> Told:
        versions = shown_orders(document) if 200 <= status < 300 else {}
        problem = document if isinstance(document, dict) and status >= 400 else {}
        made = next(iter(versions), None) if request.wish.action == "create" else None
        is_order = isinstance(document, dict) and "fulfillment_status" in document
        return self.history.add(
            Told(
                client=self.name,
                wish=request.wish,
                method=request.method,
                path=request.path,
                key=request.key,
                order_id=request.order_id or made,
                customer_id=request.customer_id,
                if_match=request.if_match,
                is_reuse=request.is_reuse,
                asked_s=asked_s,
                told_s=time.monotonic(),
                status=status,
                code=problem.get("code"),
                current_version=problem.get("current_version"),
                order_status=document["status"] if is_order else None,
                versions=versions,
                payments=shown_payments(document) if 200 <= status < 300 else {},
                digest=digest,
                is_replayed=is_replayed,
            )
        )
