"""The process that calls one partner."""

from __future__ import annotations

import re
from contextlib import AsyncExitStack

from actors.process_metrics import histogram, labelled
from actors.processes import composition
from actors.processes.call_worker import CallWorker, PartnerCaller
from actors.processes.process import Process
from actors.processes.read_through import ReadThrough
from actors.rpc.clients import ProcessClients
from actors.rpc.process_names import BULKHEAD
from actors.rpc.server import Methods
from domain.calls import Partner
from partners.resilient_client import LATENCY_BOUNDS_S, ResilientClient
from storage.reads.reference_data import ReferenceCopies

HAVE_COPIES = (Partner.PRODUCT, Partner.USER)  # what is asked of the third is never answered twice alike


class Bulkhead(Process):
    """Calls one partner (``bulkhead-product``, ``bulkhead-payment``, ``bulkhead-user``)."""

    kind = "bulkhead"
    _worker: CallWorker
    _client: ResilientClient
    _copies: ReferenceCopies | None = None

    async def _compose(self, clients: ProcessClients, opened: AsyncExitStack) -> None:
        config = self.config
        partner = Partner(self.name.removeprefix(BULKHEAD))
        store = await composition.open_router_store(config, self.name)
        opened.push_async_callback(store.close)
        router = await composition.open_router(config, clients, store)
        opened.push_async_callback(router.stop)
        self._client = ResilientClient(
            partner, composition.client_of(partner.value, config), composition.bulkhead_limits_of(config)
        )
        caller: PartnerCaller = self._client
        if partner in HAVE_COPIES:
            self._copies = composition.reference_copies_of(config)
            caller = ReadThrough(self._client, self._copies)
        self._worker = CallWorker(
            partner.value,
            caller,
            router,
            calls_max=config.bulkhead_concurrency_max_calls + config.bulkhead_queue_max_calls,
        )

    def _methods(self) -> Methods:
        return {**super()._methods(), "perform": self._worker.perform}

    async def statistics(self) -> dict[str, float]:
        """Figures for the metrics."""
        state = self._client.state()
        return {
            **labelled("call_outcomes_total", {outcome_label(name): count for name, count in state.outcomes.items()}),
            **histogram("call_attempt_seconds", LATENCY_BOUNDS_S, state.latency_counts, state.latency_sum_s),
            **(self._copies.figures() if self._copies is not None else {}),
            "in_flight_calls": state.in_flight,
            "queued_calls": state.queued,
            "retries_total": state.retries,
            "credentials_refused_total": state.credentials_refused,
            "breaker_open": float(state.breaker.value != "closed"),
            "undelivered_total": self._worker.undelivered,
        }


def outcome_label(name: str) -> str:
    """The value of the label ``outcome`` for a class of outcomes: ``not_sent`` for ``NotSent``."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
