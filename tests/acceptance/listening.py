"""Ears on a service that a test has started, for as long as it runs: whatever it published has to be as promised."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.acceptance.broker import Broker
from tests.acceptance.published import faults_of
from tests.acceptance.shop import Shop
from tests.acceptance.started import Started


@contextmanager
def listening(started: Started) -> Iterator[Broker]:
    """Its RabbitMQ; at the end all that was heard is held against ``/asyncapi.json`` and the promises of the events."""
    with Broker(started.endpoints()["amqp"]) as broker:
        yield broker
        _, document, _ = Shop(started.endpoints(), started.folder).ask("GET", "/asyncapi.json")
        assert broker.heard
        assert faults_of(broker.heard, document) == []
